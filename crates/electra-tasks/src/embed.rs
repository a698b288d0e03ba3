//! Embeddings of texts: an encoder's hidden states, pooled.

use crate::{
    batch::Input,
    body::Body,
    config::Pooling,
    error::{Error, Result},
    model::{EncoderWeights, Source, folder_of},
    predictor::{NOT_FINITE, StreamOptions},
    summary::{TextUnit, Truncated},
    texts::layers::rows,
};
use electra_model::Parts;
use electra_scores::{
    Lines,
    window::{Filled, WINDOW_BYTES, fill},
};
use electra_tokenize::WordPiece;
use std::path::Path;
use tch::nn;

/// An encoder that returns a vector for each text.
///
/// Texts with similar embeddings are not similar in meaning unless the encoder was fine-tuned for that, for example on
/// pairs of sentences (STS-B) or on labels of one's own; a pre-trained encoder's vectors are features for a classifier.
///
/// ```no_run
/// use electra_tasks::{Embedder, config::Pooling};
///
/// let embedder = Embedder::open("exported/small".as_ref(), "auto")?.with_pooling(Pooling::First);
/// let embeddings = embedder.embed(&["What a film!", "I left early."])?;
/// assert_eq!(embeddings.vectors[1].len(), embedder.width());
/// # Ok::<(), electra_tasks::Error>(())
/// ```
#[derive(Debug)]
pub struct Embedder {
    body: Body,
    tokenizer: WordPiece,
    pooling: Pooling,
    width: usize,
    max_tokens: usize,
    batch_size: usize,
    window: usize,
}

/// The embeddings of texts.
#[derive(Clone, Debug, PartialEq)]
pub struct Embeddings {
    /// A vector of [`Embedder::width`] numbers for each text, in order.
    pub vectors: Vec<Vec<f32>>,
    /// The texts that were longer than the model allows.
    pub truncated: Truncated,
}

impl Embedder {
    /// Opens the encoder of a model folder, pre-trained or fine-tuned, or of the one in the folder of a fine-tuning run.
    /// `device` is `"auto"`, `"cpu"` or `"cuda:N"`.
    ///
    /// # Errors
    /// Naming the file that is missing, damaged or of another model.
    pub fn open(dir: &Path, device: &str) -> Result<Self> {
        Self::open_with(dir, device, &Parts::shipped())
    }

    /// [`Embedder::open`] with other parts than the shipped ones.
    ///
    /// # Errors
    /// As [`Embedder::open`].
    pub fn open_with(dir: &Path, device: &str, parts: &Parts) -> Result<Self> {
        let dir = folder_of(dir);
        let vs = nn::VarStore::new(electra_torch::device(device)?);
        let source = Source::read(&dir)?;
        let body = Body::new(&vs.root(), &source.config, parts, source.pad())?;
        EncoderWeights::read(&dir, None)?.load(&vs)?;
        let Source { config, tokenizer } = source;
        let (width, max_tokens) = (config.hidden as usize, config.max_positions as usize);
        let StreamOptions { batch_size, window, .. } = StreamOptions::default();
        let pooling = Pooling::Mean;
        Ok(Self { body, tokenizer, pooling, width, max_tokens, batch_size, window })
    }

    /// With another pooling than the mean over all tokens.
    #[must_use]
    pub fn with_pooling(self, pooling: Pooling) -> Self {
        Self { pooling, ..self }
    }

    /// With another number of texts in a forward pass, and of texts that are read, sorted by length and embedded together.
    #[must_use]
    pub fn with_batches(self, batch_size: usize, window: usize) -> Self {
        Self { batch_size, window, ..self }
    }

    /// Numbers of an embedding: the encoder's hidden size.
    pub fn width(&self) -> usize {
        self.width
    }

    /// The embeddings of texts, in order. A text without tokens has that of `[CLS] [SEP]`.
    ///
    /// # Errors
    /// Naming the text, from 0, whose embedding is NaN or infinite.
    pub fn embed(&self, texts: &[impl AsRef<str>]) -> Result<Embeddings> {
        let embeddings = self.embed_any(texts)?;
        match embeddings.vectors.iter().position(|vector| !is_finite(vector)) {
            None => Ok(embeddings),
            Some(text) => Err(Error::value("text", format!("number {text}"), NOT_FINITE)),
        }
    }

    /// Embeds the lines of a stream in order, in constant memory. `on_vectors` gets the embeddings of the next lines;
    /// `file` is the name in errors.
    ///
    /// # Errors
    /// The first line that cannot be read or embedded, with its number, after the embeddings of those before it; or the
    /// error of `on_vectors`.
    pub fn stream(
        &self,
        lines: Lines,
        file: &str,
        on_vectors: &mut dyn FnMut(&[Vec<f32>]) -> Result<()>,
    ) -> Result<Truncated> {
        let mut lines = lines.numbered(file);
        let mut truncated = Truncated::default();
        loop {
            let bytes = |(_, text): &(u64, String)| text.len();
            let (window, filled) = fill(&mut lines, self.window, WINDOW_BYTES, bytes);
            let texts: Vec<&str> = window.iter().map(|(_, text)| text.as_str()).collect();
            let embedded = self.embed_any(&texts)?;
            truncated = truncated.with(embedded.truncated);
            let vectors = &embedded.vectors;
            let finite = vectors.iter().take_while(|vector| is_finite(vector)).count();
            on_vectors(&vectors[..finite])?;
            if let Some((line, _)) = window.get(finite) {
                return Err(Error::row(file, *line, NOT_FINITE));
            }
            if filled? == Filled::Ended {
                return Ok(truncated);
            }
        }
    }

    /// [`Self::embed`] without a check of the numbers.
    fn embed_any(&self, texts: &[impl AsRef<str>]) -> Result<Embeddings> {
        let encode = |text: &str| -> Result<_> {
            Input::encode_measured(&self.tokenizer, text, None, self.max_tokens)
        };
        let encoded: Vec<(Input, usize)> =
            texts.iter().map(|text| encode(text.as_ref())).collect::<Result<_>>()?;
        let lengths = encoded.iter().map(|(_, length)| *length);
        let truncated = Truncated::of(TextUnit::Texts, lengths, self.max_tokens);
        let inputs: Vec<&Input> = encoded.iter().map(|(input, _)| input).collect();
        let vectors = self.body.map(&inputs, self.batch_size, |batch| {
            rows(&self.pooling.pool(batch.hidden_bsh, batch.batch.encoder.mask()))
        });
        Ok(Embeddings { vectors, truncated })
    }
}

fn is_finite(vector: &[f32]) -> bool {
    vector.iter().all(|number| number.is_finite())
}
