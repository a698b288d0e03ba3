//! Questions about texts, as in SQuAD 1.1 and 2.0. Nothing is left out or corrected.

/// A file of questions about paragraphs of articles.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SquadFile {
    /// The version given in the file: "1.1", "v2.0"; files of other authors often have other values.
    pub version: Option<String>,
    /// The articles.
    pub articles: Vec<Article>,
}

/// An article.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Article {
    /// The title.
    pub title: Option<String>,
    /// The paragraphs.
    pub paragraphs: Vec<Paragraph>,
}

/// A text with questions about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Paragraph {
    /// The text that contains the answers.
    pub context: String,
    /// The questions.
    pub questions: Vec<Question>,
}

/// A question with its gold answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// The id in files of predictions; unique in a file.
    pub id: String,
    /// The question.
    pub text: String,
    /// The answers of several annotators: empty if the question has no answer (2.0), `None` if the file lacks the
    /// key (a test file without gold answers).
    pub answers: Option<Vec<Answer>>,
    /// Whether the text does not contain an answer (2.0).
    pub is_impossible: bool,
    /// A key of the file that is similar to `answers`, if the file lacks that.
    pub similar_key: Option<String>,
    /// Spans that could be mistaken for an answer to an unanswerable question (2.0).
    pub plausible_answers: Vec<Answer>,
}

/// A span of the context.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The span's text.
    pub text: String,
    /// Unicode characters of the context before it (not bytes, not UTF-16 units). A file may have no number, or one that
    /// is not a place in the context, such as -1.
    pub start: Option<i64>,
}

impl Question {
    /// Whether it has no answer (2.0): it is flagged so, has an empty list of answers (files of the library `datasets` have no
    /// flag), or only answers without text.
    pub fn has_no_answer(&self) -> bool {
        let is_empty = |answer: &Answer| answer.text.trim().is_empty();
        self.is_impossible || self.answers.as_ref().is_some_and(|all| all.iter().all(is_empty))
    }

    /// What to do about missing gold answers, to complete a message.
    pub fn missing_answers(&self) -> String {
        let similar = self.similar_key.as_ref();
        let similar = similar.map(|key| {
            format!(
                "; unknown key {key:?}: did you mean \"answers\", a list of {{\"text\", \"answer_start\"}}?"
            )
        });
        format!("there is no key \"answers\"{}", similar.unwrap_or_default())
    }
}

impl SquadFile {
    /// All paragraphs, in the file's order.
    pub fn paragraphs(&self) -> impl Iterator<Item = &Paragraph> {
        self.articles.iter().flat_map(|article| &article.paragraphs)
    }

    /// All questions with their contexts, in the file's order.
    pub fn questions(&self) -> impl Iterator<Item = (&str, &Question)> {
        self.paragraphs().flat_map(|paragraph| {
            paragraph.questions.iter().map(|question| (paragraph.context.as_str(), question))
        })
    }
}
