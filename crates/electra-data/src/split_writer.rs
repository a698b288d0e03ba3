//! Writes the shards of both splits.

use crate::{
    Error, Result,
    index::{COUNTS, INDEX, ShardIndex, Split, SplitIndex, VERSION},
    packing::Example,
    report::BuildReport,
    shard::ShardWriter,
};
use electra_files::write_json;
use electra_tokenize::Vocab;
use serde_json::Value;
use std::{
    fs,
    path::{Path, PathBuf},
};

/// The shards being written.
pub(crate) struct SplitWriter {
    dir: PathBuf,
    writers: [ShardWriter; 2],
    /// The last document of each split, so that parts of one document count once.
    documents: [Option<u64>; 2],
    counts: Vec<u64>,
    index: ShardIndex,
    /// Tokens per shard.
    shard_tokens: u64,
}

impl SplitWriter {
    pub(crate) fn new(
        dir: &Path,
        vocab: &Vocab,
        sequence_length: usize,
        shard_tokens: u64,
    ) -> Self {
        Self {
            dir: dir.to_owned(),
            writers: Default::default(),
            documents: [None; 2],
            counts: vec![0; vocab.len()],
            index: ShardIndex {
                format: VERSION,
                sequence_length,
                vocab_size: vocab.len(),
                vocab_hash: vocab.hash(),
                special: *vocab.special(),
                train: SplitIndex::default(),
                held_out: SplitIndex::default(),
                report: BuildReport::default(),
            },
            shard_tokens,
        }
    }

    /// Adds examples of a document.
    pub(crate) fn add(&mut self, examples: &[Example], document: u64, split: Split) -> Result<()> {
        let special = self.index.special;
        for example in examples {
            self.writers[split as usize].push(example);
            if split == Split::Train {
                let text = example.ids.iter().filter(|&&id| id != special.cls && id != special.sep);
                text.for_each(|&id| self.counts[id as usize] += 1);
            }
        }
        let last = &mut self.documents[split as usize];
        if !examples.is_empty() && last.replace(document) != Some(document) {
            self.part(split).documents += 1;
        }
        if self.writers[split as usize].tokens() >= self.shard_tokens {
            self.write_shard(split)?;
        }
        Ok(())
    }

    /// Writes the last shards.
    pub(crate) fn flush(&mut self) -> Result<()> {
        [Split::Train, Split::HeldOut].into_iter().try_for_each(|split| self.write_shard(split))
    }

    /// Number of examples in the training split and in the held-out split.
    pub(crate) fn examples(&self) -> (u64, u64) {
        (self.index.train.examples, self.index.held_out.examples)
    }

    /// Token counts of the training split by id.
    pub(crate) fn counts(&self) -> &[u64] {
        &self.counts
    }

    /// Writes the counts and the index, after [`Self::flush`].
    pub(crate) fn finish(mut self, report: &BuildReport) -> Result<()> {
        self.index.report = report.clone();
        let (counts, path) = (Value::from(self.counts), self.dir.join(COUNTS));
        fs::write(&path, counts.to_string()).map_err(Error::io(&path))?;
        Ok(write_json(&self.dir.join(INDEX), &self.index)?)
    }

    fn part(&mut self, split: Split) -> &mut SplitIndex {
        match split {
            Split::Train => &mut self.index.train,
            Split::HeldOut => &mut self.index.held_out,
        }
    }

    fn write_shard(&mut self, split: Split) -> Result<()> {
        let writer = &mut self.writers[split as usize];
        let (examples, tokens) = (writer.examples(), writer.tokens());
        if examples == 0 {
            return Ok(());
        }
        let bytes = writer.finish(&self.index);
        let prefix = match split {
            Split::Train => "train",
            Split::HeldOut => "held-out",
        };
        let name = format!("{prefix}-{:05}.shard", self.part(split).files.len());
        let path = self.dir.join(&name);
        fs::write(&path, &bytes).map_err(Error::io(&path))?;
        let part = self.part(split);
        part.files.push(name);
        part.examples += examples;
        part.tokens += tokens;
        Ok(())
    }
}
