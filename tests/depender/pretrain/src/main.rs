//! Pre-trains from a text with a config of its own: `pretrain TEXT OUT`.

use electra_data::{
    BuildConfig, Corpus, CorpusConfig, TokenizerConfig, TrainConfig, WordPiece, build_shards,
    train_vocab,
};
use electra_train::{Existing, Preset, Recipe, Start, export::ExportPart, tch::Tensor};
use std::{env, error::Error, path::PathBuf};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = env::args().skip(1).map(PathBuf::from);
    let (Some(text), Some(out)) = (arguments.next(), arguments.next()) else {
        return Err("usage: pretrain TEXT OUT".into());
    };
    let corpus = Corpus::open(&text, CorpusConfig::default())?;
    let texts = corpus.documents().map(|document| Ok::<_, electra_data::Error>(document?.text));
    let vocab = train_vocab(texts, &TokenizerConfig::default(), &TrainConfig::new(100))?;
    let tokenizer = WordPiece::new(vocab, TokenizerConfig::default())?;
    let (shards, run) = (out.join("shards"), out.join("run"));
    build_shards(&corpus, &tokenizer, &BuildConfig::new(&shards, 32), &mut |_bytes| {})?;

    let overrides = [
        format!("data.shards={}", shards.display()),
        "data.sequence_length=shards".to_owned(),
        "model.vocab_size=shards".to_owned(),
        "train.steps=2".to_owned(),
        "train.device=cpu".to_owned(),
    ];
    let recipe = Recipe::from_config(Preset::Tiny.config(&overrides)?);
    recipe.pretrain(&Start::new(&run))?;
    recipe.export(&run, ExportPart::Discriminator, &out.join("model"), Existing::Refuse)?;
    let variables = recipe.untrained()?.variables()?;
    let parameters: usize =
        variables.iter().map(|(_, tensor): &(String, Tensor)| tensor.numel()).sum();
    println!("trained {parameters} parameters: {}", out.join("model").display());
    Ok(())
}
