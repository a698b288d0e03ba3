//! Question answering by spans of a text: the files of SQuAD 1.1, 2.0 and MRQA, and the official scores.

mod file;
mod mrqa;
mod score;
mod version;

pub use file::{Answer, Article, Paragraph, Question, SquadFile};
pub use score::{
    AveragePrecision, BestThreshold, NullOdds, Predictions, SquadV1Scores, SquadV2Scores,
    SubsetScores, Unmatched, answer_1, answer_2, normalize, read_null_odds, read_predictions,
    score_1, score_2,
};
pub use version::{Version, read, read_from};
