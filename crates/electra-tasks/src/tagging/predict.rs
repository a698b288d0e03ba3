//! Tags of a fine-tuned model: for words at hand, and for files in constant memory.

use super::{
    encode::encode,
    file::{Columns, Sentence, Sentences},
    head::TagHead,
    scheme::Scheme,
    task::{TaggingInfo, own_words, tags_of},
};
use crate::{
    Error, Result,
    model::{self, Kind, Model},
    predict::{BATCH, NOT_FINITE, PredictOptions, PredictReport, Probabilities, in_place},
};
use electra_model::EncoderConfig;
use std::{io::Write, path::Path, time::Instant};
use tch::nn;

/// Words that are read, sorted by length and tagged together.
const WINDOW_WORDS: usize = 1 << 16;

/// A fine-tuned model that tags words.
///
/// Threads share it: each makes the tokens of its own words, and the network, which uses all of libtorch's threads,
/// computes for one of them at a time.
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
    /// Naming the file that is missing or not whole, or the key of `task.json` that nothing can be tagged with.
    pub fn open(dir: &Path, device: &str) -> Result<Self> {
        let (device, class) = (electra_torch::device(device)?, TaggingInfo::class);
        let head = |path: &nn::Path<'_>, encoder: &EncoderConfig, info: &TaggingInfo| {
            TagHead::new(path, encoder, &info.header.head, info.classes.len())
        };
        let model = model::read(dir, device, None, Kind::Tagging, class, head)?;
        let TaggingInfo { scheme, classes, .. } = &model.info;
        // Entities are read from BIOES, whatever is written.
        let unknown =
            |class: &&String| scheme.has_entities() && Scheme::Bioes.check(class).is_err();
        if let Some(class) = classes.iter().find(unknown) {
            let expected = "must be O, or one of B, I, E, S with a type, as in B-PER";
            let error = Error::value("classes", format!("{class:?}"), expected);
            return Err(model::invalid(dir)(error));
        }
        Ok(Self { model })
    }

    /// What the model was trained for.
    pub fn info(&self) -> &TaggingInfo {
        &self.model.info
    }

    /// A tag for each word of each sentence, in their order.
    ///
    /// # Errors
    /// If the tokenizer cannot read a word, or a probability is no finite number.
    pub fn tag<S: AsRef<str> + Sync>(
        &self,
        sentences: &[impl AsRef<[S]> + Sync],
    ) -> Result<Vec<Vec<TaggedWord>>> {
        let tagged = self.tag_batched(sentences, BATCH)?;
        match tagged.iter().position(|words| !is_finite(words)) {
            None => Ok(tagged),
            Some(place) => Err(Error::value("sentence", format!("number {place}"), NOT_FINITE)),
        }
    }

    /// Tags, which may be of a broken network.
    fn tag_batched<S: AsRef<str> + Sync>(
        &self,
        sentences: &[impl AsRef<[S]> + Sync],
        batch_size: usize,
    ) -> Result<Vec<Vec<TaggedWord>>> {
        let Model { info, network, tokenizer } = &self.model;
        let features = encode(tokenizer, sentences, &[], info.header.max_length)?;
        let predictions = network.predict(&features, batch_size);
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

    /// The columns that are read of files to be tagged.
    pub fn columns(&self) -> Columns {
        Columns { word: self.model.info.word_column, tag: None }
    }

    /// Tags sentences and writes their lines with the tag as a further column (and its probability as one more), holding
    /// a window of them at a time; each window is flushed. `on_words` is told how many words are done, and so is the
    /// caller: `rows` of the report are words. `name` is what errors call the writer.
    ///
    /// # Errors
    /// The first line that cannot be read, or that of the first word of a sentence whose probabilities are no finite
    /// numbers; the sentences before it are written. Or whatever `writer` says.
    pub fn predict_sentences(
        &self,
        mut sentences: Sentences,
        mut writer: impl Write,
        name: &Path,
        options: &PredictOptions,
        on_words: &mut dyn FnMut(u64),
    ) -> Result<PredictReport> {
        let clock = Instant::now();
        let (mut window, mut rows) = (Vec::new(), 0);
        loop {
            let mut words = 0;
            let ended = loop {
                match sentences.next() {
                    None => break Ok(true),
                    Some(Err(error)) => break Err(error),
                    Some(Ok(sentence)) => {
                        words += sentence.words.len();
                        window.push(sentence);
                    }
                }
                if window.len() >= options.window || words >= WINDOW_WORDS {
                    break Ok(false);
                }
            };
            self.write(&window, &mut writer, (sentences.file(), name), options)?;
            writer.flush().map_err(Error::io(name))?;
            rows += words as u64;
            on_words(rows);
            if ended? {
                return Ok(PredictReport { rows, seconds: clock.elapsed().as_secs_f64() });
            }
            window.clear();
        }
    }

    /// [`TaggingPredictor::predict_sentences`] into a file, which appears when it is whole. An output that is no file (a
    /// pipe, a device) is written into as it stands.
    ///
    /// # Errors
    /// Naming the file that cannot be read or written, and the line.
    pub fn predict_file(
        &self,
        sentences: Sentences,
        output: &Path,
        options: &PredictOptions,
        on_words: &mut dyn FnMut(u64),
    ) -> Result<PredictReport> {
        in_place(output, |writer| {
            self.predict_sentences(sentences, writer, output, options, on_words)
        })
    }

    fn write(
        &self,
        sentences: &[Sentence],
        writer: &mut impl Write,
        (input, output): (&str, &Path),
        options: &PredictOptions,
    ) -> Result<()> {
        let words: Vec<&[String]> = sentences.iter().map(|s| s.words.as_slice()).collect();
        let tagged = self.tag_batched(&words, options.batch_size)?;
        for (sentence, tagged) in sentences.iter().zip(tagged) {
            if !is_finite(&tagged) {
                writer.flush().map_err(Error::io(output))?;
                return Err(Error::row(input, sentence.line, NOT_FINITE));
            }
            let divider = if sentence.lines[0].contains('\t') { '\t' } else { ' ' };
            let column = |word: &super::TaggedWord| match options.probabilities {
                Probabilities::Omit => word.tag.clone(),
                Probabilities::Write => format!("{}{divider}{}", word.tag, word.probability),
            };
            let columns: Vec<String> = tagged.iter().map(column).collect();
            let text = sentence.with_tags(columns.iter().map(String::as_str));
            writer.write_all(text.as_bytes()).map_err(Error::io(output))?;
        }
        Ok(())
    }
}

/// Whether the numbers of a sentence's words are such.
fn is_finite(words: &[TaggedWord]) -> bool {
    words.iter().all(|word| word.probability.is_finite())
}
