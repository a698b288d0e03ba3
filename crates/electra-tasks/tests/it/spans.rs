//! Contexts, windows, heads and answers of questions; hand-made texts and the reference's formulas.

use crate::device;
use crate::says;
use electra_model::EncoderConfig;
use electra_scores::squad::{Answer, SquadFile, read};
use electra_tasks::{
    FinetuneConfig, HeadNet, HeadSite,
    batch::{BatchTensors, Input},
    config::{HeadKind, SpanConfig},
    head::HeadInput,
    kinds::squad::{
        AnswerTokens, Context, QuestionEncoder, QuestionWindows, Span, SpanNet, SpanTarget,
        WindowPrediction, decode, most_context, windows,
    },
    order::grouped_order,
};
use electra_tokenize::{TokenizerConfig, Vocab, WordPiece};
use proptest::prelude::*;
use std::{fs, ops::Range};
use tch::{Kind, Tensor, nn};

/// Ids from 5 on, in this order.
const WORDS: [&str; 14] =
    ["a", "b", "c", "d", "naive", "bakers", "bake", "##ry", "bread", "北", "京", "“", "”", "."];

fn tokenizer() -> WordPiece {
    let special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"];
    let tokens = special.iter().chain(&WORDS).map(|&token| token.to_owned()).collect();
    WordPiece::new(Vocab::from_tokens(tokens).unwrap(), TokenizerConfig::default()).unwrap()
}

fn context(text: &str) -> Context {
    Context::new(&tokenizer(), text).unwrap()
}

fn spans(overrides: &[&str]) -> SpanConfig {
    let overrides: Vec<String> = overrides.iter().map(|&s| s.to_owned()).collect();
    let path = crate::root().join("configs/finetune-squad-small.toml");
    FinetuneConfig::read(&path, &overrides).unwrap().squad.unwrap()
}

const BAKERY: &str = "“Naïve” bakers\u{a0}🍞 bake  北京 bakery bread bread.";

/// Characters of [`BAKERY`]: “ 0, N 1, ” 6, b(akers) 8, the no-break space 14, 🍞 15, bake 17, 北 23, 京 24, bakery 26,
/// bread 33 and 39, the period 44.
#[track_caller]
fn check(answer: &str, start: i64, tokens: Range<usize>, text: &str) {
    let context = context(BAKERY);
    let answer = Answer { text: answer.to_owned(), start: Some(start) };
    let found = context.align(&answer).unwrap();
    assert_eq!(found, tokens);
    assert_eq!(context.text(found.clone()), text);
    let before: String = BAKERY.chars().take(context.characters_before(found.start)).collect();
    assert!(BAKERY[before.len()..].starts_with(text));
}

/// Tokens: “ naive ” bakers [UNK] bake 北 京 bake ##ry bread bread .
#[test]
fn answers_are_the_fewest_tokens_that_cover_them() {
    check("“", 0, 0..1, "“");
    check("Naïve", 1, 1..2, "Naïve");
    check("“Naïve” bakers", 0, 0..4, "“Naïve” bakers");
    check("🍞", 15, 4..5, "🍞");
    check("bakers\u{a0}🍞", 8, 3..5, "bakers\u{a0}🍞");
    check("bake  北", 17, 5..7, "bake  北");
    check("京", 24, 7..8, "京");
    check("北京", 23, 6..8, "北京");
    check("bakery", 26, 8..10, "bakery");
    // The first of the same words is not the second.
    check("bread", 33, 10..11, "bread");
    check("bread", 39, 11..12, "bread");
    check("bread.", 39, 11..13, "bread.");
    check(".", 44, 12..13, ".");
    // Part of a token is that token; white space at the ends has no token.
    check("akers", 9, 3..4, "bakers");
    check("ry", 30, 9..10, "ry");
    check(" bake ", 16, 5..6, "bake");
    assert_eq!(BAKERY.chars().count(), 45);
}

#[test]
fn answers_that_are_not_at_their_answer_start() {
    let align = |text: &str, start: Option<i64>| {
        let answer = Answer { text: text.to_owned(), start };
        context(BAKERY).align(&answer).unwrap_err().to_string()
    };
    assert_eq!(
        align("bread", Some(32)),
        "the context has \" brea\" at answer_start 32, not the answer \"bread\", which starts at 33"
    );
    assert!(align("cake", Some(26)).contains("which does not occur in the context"));
    // The byte offset of 京 differs from its character offset.
    assert!(align("京", Some(BAKERY.find('京').unwrap() as i64)).contains("which starts at 24"));
    for start in [45, -1, i64::MAX, i64::MIN] {
        let message = align("bread", Some(start));
        let expected = format!("answer_start {start} is not a place in the context, which has 45");
        assert!(message.contains(&expected), "{message}");
    }
    assert_eq!(align("bread", None), "the answer \"bread\" has no answer_start");
    assert!(align("\u{a0}", Some(14)).contains("has no tokens"));
    // The empty text, at the start of a token and within one.
    assert!(align("", Some(8)).contains("has no tokens"));
    assert!(align("", Some(9)).contains("has no tokens"));
}

/// By hand, from the reference's loop: windows of 4 tokens, 2 apart.
#[test]
fn windows_overlap_until_one_has_the_last_token() {
    assert_eq!(windows(9, 4, 2), [0..4, 2..6, 4..8, 6..9]);
    assert_eq!(windows(8, 4, 2), [0..4, 2..6, 4..8]);
    assert_eq!(windows(4, 4, 2), std::slice::from_ref(&(0..4)));
    assert_eq!(windows(0, 4, 2), std::slice::from_ref(&(0..0)));
    // A stride longer than a window is limited to the window: no token is skipped.
    assert_eq!(windows(5, 2, 128), [0..2, 2..4, 4..5]);
}

/// `min(left, right) + 0.01 length` by hand for windows 0..4, 2..6, 4..8, 6..9.
#[test]
fn a_token_is_answered_for_in_the_window_with_the_most_context() {
    let windows = windows(9, 4, 2);
    // Token 2 is 2 from the left and 1 from the right of the first window, and 0 from the left of the second.
    // Token 3: 0 from the right of the first, 1 from the left of the second. Token 8: only in the last.
    // Token 6: 1 in the third; 0 in the last. Token 7: 0 in the third, 1 in the last.
    let best: Vec<_> = (0..10).map(|token| most_context(&windows, token)).collect();
    let wanted = [0, 0, 0, 1, 1, 2, 2, 3, 3].map(Some);
    assert_eq!(best[..9], wanted);
    assert_eq!(best[9], None);
    // Among equal contexts the longer window; among equal windows the first.
    assert_eq!(most_context(&[0..3, 2..6], 2), Some(1));
    assert_eq!(most_context(&[0..3, 2..5], 2), Some(0));
}

proptest! {
    #[test]
    fn every_token_is_in_a_window_and_has_a_best_one(n in 1usize..200, room in 1usize..40, stride in 1usize..50) {
        let windows = windows(n, room, stride);
        prop_assert!(windows.iter().all(|window| window.len() <= room));
        for token in 0..n {
            let best = most_context(&windows, token).unwrap();
            prop_assert!(windows[best].contains(&token));
        }
    }

    #[test]
    fn batches_by_length_have_every_example_once(n in 1usize..700, batch in 1usize..9, seed: u64, epoch in 0u64..9) {
        let lengths: Vec<usize> = (0..n).map(|i| i * 7919 % 97).collect();
        let order = grouped_order(&lengths, batch, seed, epoch);
        prop_assert_eq!(&order, &grouped_order(&lengths, batch, seed, epoch));
        let mut sorted = order.clone();
        sorted.sort_unstable();
        prop_assert_eq!(sorted, (0..n).collect::<Vec<_>>());
        // A batch is a run of its sorted pool.
        for batch in order.chunks(batch) {
            prop_assert!(batch.windows(2).all(|pair| lengths[pair[0]] <= lengths[pair[1]]));
        }
    }
}

/// `[CLS] question [SEP] window [SEP]`, the question cut to 2 tokens, the answer "c d" (tokens 2 and 3 of "a b c d a b").
#[test]
fn a_question_is_an_input_for_each_window() {
    let (tokenizer, config) = (tokenizer(), spans(&["squad.max_query_length=2", "squad.stride=2"]));
    let encoding = QuestionEncoder::new(&tokenizer, 8, &config).unwrap();
    let context = context("a b c d a b");
    let ask = |teaching| encoding.question(&context, "d c b", &teaching).unwrap();
    let asked = ask(AnswerTokens::Answer(2..4));
    assert_eq!((asked.windows.clone(), asked.first), (vec![0..3, 2..5, 4..6], 4));
    let rows: Vec<_> = asked.inputs.iter().map(|f| (f.ids.clone(), f.segment_b_start)).collect();
    let expected: [&[u32]; 3] =
        [&[2, 8, 7, 3, 5, 6, 7, 3], &[2, 8, 7, 3, 7, 8, 5, 3], &[2, 8, 7, 3, 5, 6, 3]];
    assert_eq!(rows, expected.map(|ids| (ids.to_vec(), 4)));
    let targets = |asked: &QuestionWindows| asked.targets.clone();
    let none = SpanTarget::default();
    // The first window has only the answer's first token: its target is [CLS], as answerable.
    assert_eq!(targets(&asked), [none, SpanTarget { start: 4, end: 5, impossible: false }, none]);
    let impossible = SpanTarget { impossible: true, ..none };
    assert_eq!(targets(&ask(AnswerTokens::Impossible)), [impossible; 3]);
    says(QuestionEncoder::new(&tokenizer, 5, &config), &["train.max_length = 5", "at least 6"]);
}

fn inputs(rows: &[(usize, usize)]) -> BatchTensors {
    let input = |&(length, segment_b_start)| Input { ids: vec![5; length], segment_b_start };
    let rows: Vec<Input> = rows.iter().map(input).collect();
    BatchTensors::new(&rows.iter().collect::<Vec<_>>(), 0, device())
}

const H: i64 = 4;

/// A head over hidden states of 4, with its variables.
fn head(kind: HeadKind, config: &SpanConfig) -> (nn::VarStore, SpanNet) {
    // The random generator is global, and tests that are repeated bit for bit use it.
    let _turn = crate::e2e::turn();
    tch::manual_seed(3);
    let path = crate::root().join("configs/finetune-squad-small.toml");
    let mut settings = FinetuneConfig::read(&path, &[]).unwrap().head;
    settings.kind = kind;
    let vs = nn::VarStore::new(device());
    let encoder = EncoderConfig { hidden: H, ..encoder() };
    let head = SpanNet::new(&HeadSite::new(&vs.root(), &encoder, &settings), config).unwrap();
    (vs, head)
}

fn encoder() -> EncoderConfig {
    electra_model::hf::read_config(&crate::root().join("tests/fixtures/foreign/question"))
        .unwrap()
        .encoder
}

fn variable(vs: &nn::VarStore, name: &str) -> Tensor {
    vs.variables()[name].detach().to_kind(Kind::Double)
}

fn layer(vs: &nn::VarStore, name: &str, x: &Tensor) -> Tensor {
    let weight = variable(vs, &format!("{name}.weight"));
    x.matmul(&weight.transpose(0, 1)) + variable(vs, &format!("{name}.bias"))
}

fn head_input<'a>(hidden_bsh: &'a Tensor, batch: &'a BatchTensors) -> HeadInput<'a> {
    HeadInput { hidden_bsh, batch, train: true }
}

/// Hidden states `[b, s, 4]`.
fn hidden(b: i64, s: i64) -> Tensor {
    ((Tensor::arange(b * s * H, (Kind::Float, device())) * 1.7).sin() * 2.0).view([b, s, H])
}

/// With weights of 0 every position is as likely: the loss is (ln n + ln n) / 2 + ln 2 / 2, n the positions that
/// an answer may be at, of which [CLS] is one: 5 of the first row, 3 of the second.
#[test]
fn the_loss_of_a_head_that_knows_nothing() {
    let config = spans(&[]);
    for (kind, answerable) in [(HeadKind::Reference, 0.5 * 2f64.ln()), (HeadKind::Hf, 0.0)] {
        let (vs, head) = head(kind, &config);
        tch::no_grad(|| vs.variables().values_mut().for_each(|v| drop(v.zero_())));
        let inputs = inputs(&[(7, 3), (5, 3)]);
        let targets = [
            SpanTarget { start: 4, end: 5, impossible: false },
            SpanTarget { start: 0, end: 0, impossible: true },
        ];
        let losses = head.losses(&head_input(&hidden(2, 7), &inputs), &targets.each_ref()).losses_b;
        for (row, positions) in [5f64, 3.0].into_iter().enumerate() {
            let wanted = positions.ln() + answerable;
            approx::assert_abs_diff_eq!(losses.double_value(&[row as i64]), wanted, epsilon = 1e-5);
        }
    }
}

/// The reference's formulas in double precision, one row and one start at a time.
struct Formula {
    positions: Vec<i64>,
    start: Vec<f64>,
    /// By start, then end.
    end: Vec<Vec<f64>>,
    impossible: f64,
}

impl Formula {
    fn new(vs: &nn::VarStore, hidden_sh: &Tensor, length: i64, segment_b_start: i64) -> Self {
        let hidden_sh = hidden_sh.to_kind(Kind::Double);
        let positions: Vec<i64> = std::iter::once(0).chain(segment_b_start..length).collect();
        let at = |place: i64| hidden_sh.get(place);
        let log_softmax = |logits: Vec<f64>| {
            let total: f64 = logits.iter().map(|x| x.exp()).sum();
            logits.iter().map(|x| x - total.ln()).collect::<Vec<_>>()
        };
        let score = |x: &Tensor, name: &str| layer(vs, name, x).double_value(&[0]);
        let start: Vec<f64> =
            log_softmax(positions.iter().map(|&p| score(&at(p), "start")).collect());
        let ends = |&start: &i64| {
            let logit = |&end: &i64| {
                let both = Tensor::cat(&[at(start), at(end)], 0);
                score(&layer(vs, "end_hidden", &both).gelu("none"), "end")
            };
            log_softmax(positions.iter().map(logit).collect())
        };
        let mut mean = at(0) * 0.0;
        for (&place, log_probability) in positions.iter().zip(&start) {
            mean += at(place) * log_probability.exp();
        }
        let both = Tensor::cat(&[at(0), mean], 0);
        let impossible = score(&layer(vs, "impossible_hidden", &both).gelu("none"), "impossible");
        Self { end: positions.iter().map(ends).collect(), positions, start, impossible }
    }

    fn place(&self, position: usize) -> usize {
        self.positions.iter().position(|&p| p == position as i64).unwrap()
    }
}

/// Rows of 7 and 5 tokens, so one is padded; segment 1 from 3 on.
#[test]
fn the_references_head_is_its_formulas() {
    let config =
        spans(&["squad.beam=4", "squad.max_answer_length=3", "squad.answerable_weight=0.25"]);
    let (vs, head) = head(HeadKind::Reference, &config);
    let (inputs, hidden_bsh) = (inputs(&[(7, 3), (5, 3)]), hidden(2, 7));
    let rows = [(7, 3), (5, 3)].into_iter().enumerate();
    let formulas: Vec<Formula> = rows
        .map(|(row, (length, b))| Formula::new(&vs, &hidden_bsh.get(row as i64), length, b))
        .collect();

    let targets = [
        SpanTarget { start: 4, end: 5, impossible: false },
        SpanTarget { start: 0, end: 0, impossible: true },
    ];
    let losses = head.losses(&head_input(&hidden_bsh, &inputs), &targets.each_ref()).losses_b;
    for (row, (target, formula)) in targets.iter().zip(&formulas).enumerate() {
        let (start, end) = (formula.place(target.start), formula.place(target.end));
        // The end is conditioned on the true start; -ln sigmoid(x) is ln(1 + e^-x).
        let sign = if target.impossible { -1.0 } else { 1.0 };
        let answerable = (sign * formula.impossible).exp().ln_1p();
        let wanted = -(formula.start[start] + formula.end[start][end]) / 2.0 + 0.25 * answerable;
        approx::assert_abs_diff_eq!(losses.double_value(&[row as i64]), wanted, epsilon = 1e-5);
    }

    let mut found = 0;
    for (prediction, formula) in
        head.predict(&head_input(&hidden_bsh, &inputs)).iter().zip(&formulas)
    {
        approx::assert_abs_diff_eq!(prediction.null, formula.impossible, epsilon = 1e-5);
        let best = |scores: &[f64]| {
            let mut order: Vec<usize> = (0..scores.len()).collect();
            order.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]));
            order.truncate(4);
            order
        };
        let mut wanted = Vec::new();
        for s in best(&formula.start) {
            for e in best(&formula.end[s]) {
                let (start, end) = (formula.positions[s] as usize, formula.positions[e] as usize);
                if start > 0 && (start..start + 3).contains(&end) {
                    wanted.push((start, end, formula.start[s] + formula.end[s][e]));
                }
            }
        }
        found += wanted.len();
        assert_eq!(prediction.spans.len(), wanted.len());
        for (span, (start, end, score)) in prediction.spans.iter().zip(wanted) {
            assert_eq!((span.start, span.end), (start, end));
            approx::assert_abs_diff_eq!(span.score, score, epsilon = 1e-5);
        }
    }
    assert!(found > 3, "{found}");
}

/// Two windows of "a b c d a b" as above; the first token of a window is at position 4.
#[test]
fn answers_are_distinct_spans_of_the_text() {
    let (tokenizer, config) =
        (tokenizer(), spans(&["squad.max_query_length=2", "squad.stride=2", "squad.n_best=2"]));
    let context = context("A  b c d a b");
    let encoding = QuestionEncoder::new(&tokenizer, 8, &config).unwrap();
    let asked = encoding.question(&context, "d", &AnswerTokens::Unknown).unwrap();
    assert_eq!((asked.windows.clone(), asked.first), (vec![0..4, 2..6], 3));
    let span = |start, end, score| Span { start, end, score };
    let predictions = [
        WindowPrediction {
            // "A  b"; "b" with 1 token of context on the left; "d" at the window's edge; [SEP].
            spans: vec![span(3, 4, 1.0), span(4, 4, 2.0), span(6, 6, 9.0), span(5, 7, 9.0)],
            null: 0.5,
        },
        WindowPrediction {
            // "d" inside; the second "b", a lower score for the same text; the question.
            spans: vec![span(4, 4, 1.5), span(6, 6, 0.5), span(1, 4, 9.0)],
            null: -0.5,
        },
    ];
    let answered = decode(&context, &asked, &predictions, &config, HeadKind::Reference);
    assert_eq!(answered.text, "b");
    assert_eq!(answered.null_odds, -0.5, "the smallest of the windows");
    let texts: Vec<_> = answered.n_best.iter().map(|c| (c.text.as_str(), c.answer_start)).collect();
    assert_eq!(texts, [("b", 3), ("d", 7)]);
    // Softmax of 2 and 1.5.
    approx::assert_abs_diff_eq!(
        answered.n_best[0].probability,
        1.0 / (1.0 + (-0.5f64).exp()),
        epsilon = 1e-12
    );
    let hf = decode(&context, &asked, &predictions, &config, HeadKind::Hf);
    assert_eq!(hf.null_odds, -0.5 - 2.0, "less the best span");
    let wide = spans(&["squad.max_query_length=2", "squad.stride=2"]);
    let more = decode(&context, &asked, &predictions, &wide, HeadKind::Reference).n_best;
    assert_eq!(more.iter().map(|c| c.text.as_str()).collect::<Vec<_>>(), ["b", "d", "A  b"]);
    let nothing = WindowPrediction { spans: Vec::new(), null: 1.0 };
    let none = decode(&context, &asked, &[nothing.clone(), nothing], &config, HeadKind::Reference);
    assert_eq!((none.text.as_str(), none.n_best.len()), ("", 0));
}

const MRQA: &str = concat!(
    r#"{"header": {"dataset": "x", "split": "train"}}"#,
    "\n",
    r#"{"id": "1", "context": "[PAR] é bread", "qas": [{"qid": "q1", "question": "what", "answers": ["Bread", "bread"],"#,
    r#" "detected_answers": [{"text": "bread", "char_spans": [[8, 12], [9, 9]], "token_spans": [[2, 2]]}]}]}"#,
    "\n",
);

fn mrqa(bytes: &[u8], name: &str) -> electra_scores::Result<SquadFile> {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join(name), bytes).unwrap();
    read(&dir.path().join(name))
}

#[test]
fn files_of_the_mrqa_shared_task_are_questions_too() {
    use std::io::Write;
    let file = mrqa(MRQA.as_bytes(), "train.jsonl").unwrap();
    let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    gz.write_all(MRQA.as_bytes()).unwrap();
    assert_eq!(mrqa(&gz.finish().unwrap(), "train.jsonl.gz").unwrap(), file);
    let (context, question) = file.questions().next().unwrap();
    assert_eq!((context, question.id.as_str()), ("[PAR] é bread", "q1"));
    let answers: Vec<_> = question.answers.as_ref().unwrap().iter().collect();
    assert_eq!(answers[0], &Answer { text: "bread".to_owned(), start: Some(8) });
    assert_eq!((&answers[1].text[..], answers[1].start), ("Bread", None));
    assert_eq!(self::context(context).align(answers[0]).unwrap().len(), 1);
    let broken = |from: &str, to: &str| mrqa(MRQA.replacen(from, to, 1).as_bytes(), "x.jsonl");
    says(broken("\"context\"", "\"text\""), &["x.jsonl:2", "\"context\""]);
    says(broken("\"qid\"", "\"qidd\""), &["x.jsonl:2", "qas[0]", "missing field `id`"]);
    let twice = format!("{MRQA}{}", MRQA.lines().nth(1).unwrap());
    says(mrqa(twice.as_bytes(), "x.jsonl"), &["x.jsonl:3", "\"q1\"", "line 2"]);
    says(mrqa(&[MRQA.as_bytes(), b"\xe9"].concat(), "x.jsonl"), &["x.jsonl:3", "0xe9", "UTF-8"]);
    let deep = format!("{{\"header\": {}", "[".repeat(200_000));
    says(mrqa(deep.as_bytes(), "x.jsonl"), &["x.jsonl:1", "header", "EOF"]);
}
