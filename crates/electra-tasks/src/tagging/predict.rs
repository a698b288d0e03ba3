//! Tags of a fine-tuned model: for words at hand, and for files in constant memory.

use super::{
    encode::encode,
    file::{Columns, Sentence, Sentences},
    head::TagHead,
    task::{TaggingInfo, own_words, tags_of},
};
use crate::{
    Error, Result,
    model::{self, Kind, Model},
    predict::{PredictOptions, PredictReport, Probabilities, in_place},
};
use electra_model::EncoderConfig;
use std::{io::Write, path::Path, time::Instant};
use tch::nn;

/// Words that are read, sorted by length and tagged together.
const WINDOW_WORDS: usize = 1 << 16;

/// A fine-tuned model that tags words.
///
/// It may be moved to another thread; several threads share it through a `Mutex`, or open one each.
///
/// ```no_run
/// use electra_tasks::TaggingPredictor;
///
/// let predictor = TaggingPredictor::open("runs/entities/model".as_ref(), "auto")?;
/// let sentence = ["Clark", "lives", "in", "Stanford", "."];
/// for (word, tagged) in sentence.iter().zip(&predictor.tag(&[sentence])?[0]) {
///     println!("{word} {}", tagged.tag);
/// }
/// # Ok::<(), electra_tasks::Error>(())
/// ```
#[derive(Debug)]
pub struct TaggingPredictor {
    model: Model<TaggingInfo, TagHead>,
}

/// What is said of a word.
#[derive(Clone, Debug, PartialEq)]
pub struct TaggedWord {
    /// Its tag, in the scheme of the files that were learned from.
    pub tag: String,
    /// The probability of the class that was chosen for it (of entities: in BIOES).
    pub probability: f32,
}

impl TaggingPredictor {
    /// Opens the `model` folder that fine-tuning wrote; `device` is `"auto"`, `"cpu"` or `"cuda:N"`.
    ///
    /// # Errors
    /// Naming the file that is missing or not whole.
    pub fn open(dir: &Path, device: &str) -> Result<Self> {
        let (device, class) = (electra_torch::device(device)?, TaggingInfo::class);
        let head = |path: &nn::Path<'_>, encoder: &EncoderConfig, info: &TaggingInfo| {
            TagHead::new(path, encoder, &info.header.head, info.classes.len())
        };
        Ok(Self { model: model::read(dir, device, None, Kind::Tagging, class, head)? })
    }

    /// What the model was trained for.
    pub fn info(&self) -> &TaggingInfo {
        &self.model.info
    }

    /// A tag for each word of each sentence, in their order.
    ///
    /// # Errors
    /// If the tokenizer cannot read a word.
    pub fn tag<S: AsRef<str> + Sync>(
        &self,
        sentences: &[impl AsRef<[S]> + Sync],
    ) -> Result<Vec<Vec<TaggedWord>>> {
        self.tag_batched(sentences, PredictOptions::default().batch_size)
    }

    fn tag_batched<S: AsRef<str> + Sync>(
        &self,
        sentences: &[impl AsRef<[S]> + Sync],
        batch_size: usize,
    ) -> Result<Vec<Vec<TaggedWord>>> {
        let Model { info, network, tokenizer } = &self.model;
        let features = encode(tokenizer, sentences, &[], info.header.max_length)?;
        let predictions = network.predict(&features, batch_size.max(1));
        let (predicted, probabilities): (Vec<usize>, Vec<f32>) =
            own_words(&features, &predictions).unzip();
        let words = sentences.iter().map(|words| words.as_ref().len());
        let mut probabilities = probabilities.into_iter();
        let tagged = |tags: Vec<String>| {
            let words = tags.into_iter().zip(probabilities.by_ref());
            words.map(|(tag, probability)| TaggedWord { tag, probability }).collect()
        };
        let tags = tags_of(predicted, words, &info.classes, info.scheme);
        Ok(tags.into_iter().map(tagged).collect())
    }

    /// Tags the sentences of the CoNLL file `input` and writes its lines with the tag as a further column (and its
    /// probability as one more) into `output`, which appears when it is whole. `on_words` is told how many are done,
    /// and so is the caller: `rows` of the report are words.
    ///
    /// # Errors
    /// Naming the file that cannot be read or written, and the line.
    pub fn predict(
        &self,
        input: &Path,
        output: &Path,
        options: &PredictOptions,
        on_words: &mut dyn FnMut(u64),
    ) -> Result<PredictReport> {
        let clock = Instant::now();
        let columns = Columns { word: self.model.info.word_column, tag: None };
        let mut sentences = Sentences::open(input, columns)?.peekable();
        let (mut window, mut waiting, mut rows) = (Vec::new(), 0, 0);
        in_place(output, |writer| {
            while let Some(sentence) = sentences.next() {
                let sentence = sentence?;
                waiting += sentence.words.len();
                window.push(sentence);
                if waiting < WINDOW_WORDS && sentences.peek().is_some() {
                    continue;
                }
                self.write(&window, writer, output, options)?;
                rows += waiting as u64;
                on_words(rows);
                window.clear();
                waiting = 0;
            }
            Ok(PredictReport { rows, seconds: clock.elapsed().as_secs_f64() })
        })
    }

    fn write(
        &self,
        sentences: &[Sentence],
        writer: &mut dyn Write,
        name: &Path,
        options: &PredictOptions,
    ) -> Result<()> {
        let words: Vec<&[String]> = sentences.iter().map(|s| s.words.as_slice()).collect();
        let tagged = self.tag_batched(&words, options.batch_size)?;
        for (sentence, tagged) in sentences.iter().zip(tagged) {
            let divider = if sentence.lines[0].contains('\t') { '\t' } else { ' ' };
            let column = |word: &super::TaggedWord| match options.probabilities {
                Probabilities::Omit => word.tag.clone(),
                Probabilities::Write => format!("{}{divider}{}", word.tag, word.probability),
            };
            let columns: Vec<String> = tagged.iter().map(column).collect();
            let text = sentence.with_tags(columns.iter().map(String::as_str));
            writer.write_all(text.as_bytes()).map_err(Error::io(name))?;
        }
        Ok(())
    }
}
