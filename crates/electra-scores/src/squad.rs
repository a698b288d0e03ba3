//! Question answering by spans of a text: the files of SQuAD 1.1, 2.0, MRQA and `datasets`, and the official scores.

mod entry;
mod file;
mod read;
mod score;
mod version;

pub use file::{Answer, Article, Paragraph, Question, SquadFile};
pub use read::{read, read_from};
pub use score::{
    AveragePrecision, BestThreshold, NullOdds, Predictions, SquadV1Scores, SquadV2Scores,
    SubsetScores, Unmatched, answer_1, answer_2, normalize, read_null_odds, read_predictions,
    score_1, score_2,
};
pub use version::Version;
