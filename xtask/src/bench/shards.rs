//! Building shards from text, compared with only encoding with Python's `tokenizers`.

use super::{
    options::{HOME, Options},
    page::Row,
    paired::{PairedRuns, PeerSide, Side, peer},
    report::report,
};
use crate::{
    files::{self, number},
    pipeline::{self, ELECTRA},
    python, sh,
};
use anyhow::Result;
use serde_json::json;

pub(super) fn run(args: &Options, name: &str) -> Result<()> {
    pipeline::build(&args.corpus)?;
    let interpreter = python::torch()?;
    let (vocab, corpus) = (python::bert_vocab(&interpreter)?, args.corpus.display().to_string());
    let out = format!("{HOME}/shards-timed");
    files::make_folder(HOME)?;
    let command = sh::words([
        ELECTRA,
        "shards",
        "build",
        "--corpus",
        &corpus,
        "--vocab",
        &vocab,
        "--seq-len",
        "128",
        "--overwrite",
        "--out",
        &out,
    ]);
    let script = sh::words(["benches/peer/encode.py", "--corpus", &corpus, "--vocab", &vocab]);
    let timed = |seconds: f64| json!({"seconds": seconds, "runs_per_second": 1.0 / seconds});
    let own: Side<'_> = Box::new(|| Ok(timed(sh::run(&command)?.as_secs_f64())));
    let encoding: Side<'_> =
        Box::new(|| Ok(timed(number(&peer(&interpreter, &script)?, "seconds")?)));
    let peers = [PeerSide { name: "tokenizers", run: encoding }];
    let runs = PairedRuns::run(args.pairs, "runs_per_second", &own, &peers)?;
    let ratio = runs.ratio(0)?;
    let results = json!({
        "work": name,
        "pairs": args.pairs,
        "ratio_eager": ratio,
        "seconds": runs.own("seconds")?,
        "peer_seconds": runs.peer("seconds")?,
    });
    let row = Row { eager: ratio, ..Row::new(name, args.pairs) };
    report(args, &results, &[row.line()])
}
