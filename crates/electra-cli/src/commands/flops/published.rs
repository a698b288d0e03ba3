//! Published models: what their papers say of them, and their FLOPs by the formulas of the reference's script.
//!
//! "Table" without a paper is a table of Clark et al. 2020 (ELECTRA, arXiv:2003.10555): 1 small models and 2 large models on
//! GLUE's dev sets, 4 SQuAD. "Script" is the reference's `flops_computation.py`. Scores are dev scores of single models; what
//! these papers do not give is `None`, also where test scores or those of ensembles are known.

use super::row::{Row, RowScores, Squad};
use electra_model::{
    ElectraConfig, EncoderConfig, EncoderSizes, NetworkSpec, Parts,
    flops::{self, OUTPUT_FRACTION},
};

/// A published model.
struct Published {
    name: &'static str,
    /// The training objectives.
    objective: &'static str,
    /// The share of the input tokens that the loss of the network to fine-tune covers.
    trained_tokens: f64,
    /// In millions.
    parameters: f64,
    flops: Flops,
    glue: Option<f64>,
    squad_1_1: Option<Squad>,
    squad_2_0: Option<Squad>,
}

/// Where the FLOPs of pre-training are from.
enum Flops {
    /// The formulas of the script for a language model.
    LanguageModel(LanguageModel),
    /// Its formulas for ELECTRA.
    Electra { config: fn(i64) -> ElectraConfig, batch: u64, length: u64, steps: f64 },
    /// A number that the script has, of TensorFlow's counter.
    Measured(f64),
    /// A number that a paper prints.
    Printed(f64),
    /// No paper gives them, and the formulas do not cover the network.
    Unknown,
}

/// A transformer with an output layer over the vocabulary, and its training.
struct LanguageModel {
    vocab_size: i64,
    embedding_size: i64,
    layers: i64,
    hidden: i64,
    /// The share of positions that the output layer is counted for.
    predicted: f64,
    batch: u64,
    length: u64,
    steps: f64,
}

/// BERT's uncased vocabulary.
const VOCABULARY: i64 = 30_522;

/// BERT-Base in the script: sequences of 512 tokens, 1M steps.
const BERT_BASE: LanguageModel = LanguageModel {
    vocab_size: VOCABULARY,
    embedding_size: 768,
    layers: 12,
    hidden: 768,
    predicted: OUTPUT_FRACTION,
    batch: 256,
    length: 512,
    steps: 1e6,
};

/// BERT-Large in the script.
const BERT_LARGE: LanguageModel =
    LanguageModel { embedding_size: 1024, layers: 24, hidden: 1024, ..BERT_BASE };

const fn squad(exact_match: f64, f1: f64) -> Option<Squad> {
    Some(Squad { exact_match, f1 })
}

/// The models, in the order of their papers.
const MODELS: [Published; 15] = [
    // Parameters, GLUE: Table 1. FLOPs: script. It predicts every token from the left and from the right (Peters et al. 2018,
    // section 3.1).
    Published {
        name: "ELMo",
        objective: "LM in both directions",
        trained_tokens: 1.0,
        parameters: 96.0,
        // 10 epochs over 768,648,884 words of sequences of 128; 568,093,262,680 FLOPs for a batch of 20 of them.
        flops: Flops::Measured(2.0 * 10.0 * 768_648_884.0 * 568_093_262_680.0 / (20.0 * 128.0)),
        glue: Some(71.2),
        squad_1_1: None,
        squad_2_0: None,
    },
    // Parameters, GLUE: Table 1. FLOPs: script. It predicts every token (Radford et al. 2018, section 3.1).
    Published {
        name: "GPT",
        objective: "LM",
        trained_tokens: 1.0,
        parameters: 117.0,
        flops: Flops::LanguageModel(LanguageModel {
            vocab_size: 40_000,
            predicted: 1.0,
            batch: 128,
            steps: 960_800.0,
            ..BERT_BASE
        }),
        glue: Some(78.8),
        squad_1_1: None,
        squad_2_0: None,
    },
    // Parameters, GLUE: Table 1, of the authors' own training without next sentence prediction. FLOPs: script. Share: Devlin
    // et al. 2019, section 3.1.
    Published {
        name: "BERT-Small",
        objective: "MLM",
        trained_tokens: 0.15,
        parameters: 14.0,
        flops: Flops::LanguageModel(LanguageModel {
            embedding_size: 128,
            hidden: 256,
            batch: 128,
            length: 128,
            steps: 1.45e6,
            ..BERT_BASE
        }),
        glue: Some(75.1),
        squad_1_1: None,
        squad_2_0: None,
    },
    // Parameters: Tables 1 and 4. GLUE: Table 1, of the authors' own training; SQuAD: Table 4, of the released model.
    // FLOPs: script.
    Published {
        name: "BERT-Base",
        objective: "MLM",
        trained_tokens: 0.15,
        parameters: 110.0,
        flops: Flops::LanguageModel(BERT_BASE),
        glue: Some(82.2),
        squad_1_1: squad(80.8, 88.5),
        squad_2_0: None,
    },
    // Parameters, GLUE: Table 2. SQuAD: Table 4. FLOPs: script. NSP: Devlin et al. 2019, section 3.1.
    Published {
        name: "BERT-Large",
        objective: "MLM, NSP",
        trained_tokens: 0.15,
        parameters: 335.0,
        flops: Flops::LanguageModel(BERT_LARGE),
        glue: Some(84.0),
        squad_1_1: squad(84.1, 90.9),
        squad_2_0: squad(79.0, 81.8),
    },
    // Parameters, GLUE: Table 2. SQuAD: Table 4. FLOPs: script. Share: 1 / K with K = 6 (Yang et al. 2019, section 3.1).
    Published {
        name: "XLNet-Large",
        objective: "permutation LM",
        trained_tokens: 1.0 / 6.0,
        parameters: 360.0,
        // 500K steps of 8192 sequences; 15,064,773,691,518 FLOPs for the forward pass over 32 of them.
        flops: Flops::Measured(2.0 * 500_000.0 * 8192.0 * 15_064_773_691_518.0 / 32.0),
        glue: Some(89.1),
        squad_1_1: squad(89.7, 95.1),
        squad_2_0: squad(87.9, 90.6),
    },
    // RoBERTa-500K. Parameters, GLUE: Table 2. SQuAD: Table 4. FLOPs: script. Share: Liu et al. 2019, section 2.3.
    Published {
        name: "RoBERTa-Large",
        objective: "MLM",
        trained_tokens: 0.15,
        parameters: 356.0,
        flops: Flops::LanguageModel(LanguageModel {
            vocab_size: 50_265,
            batch: 8000,
            steps: 500_000.0,
            ..BERT_LARGE
        }),
        glue: Some(88.9),
        squad_1_1: squad(88.9, 94.6),
        squad_2_0: squad(86.5, 89.4),
    },
    // Parameters, SQuAD: Table 4. FLOPs: script. GLUE: the mean of the dev scores of Lan et al. 2020 (arXiv:1909.11942), single
    // models after 1.5M steps: CoLA 71.4, SST 96.9, MRPC 90.9, STS 93.0, QQP 92.2, MNLI 90.8, QNLI 95.3, RTE 89.2. Share: BERT's
    // (its section 4.1: the setup of BERT).
    Published {
        name: "ALBERT-xxlarge",
        objective: "n-gram MLM, SOP",
        trained_tokens: 0.15,
        parameters: 235.0,
        flops: Flops::LanguageModel(LanguageModel {
            vocab_size: 30_000,
            embedding_size: 128,
            hidden: 4096,
            batch: 4096,
            steps: 1.5e6,
            ..BERT_BASE
        }),
        glue: Some((71.4 + 96.9 + 90.9 + 93.0 + 92.2 + 90.8 + 95.3 + 89.2) / 8.0),
        squad_1_1: squad(89.3, 94.8),
        squad_2_0: squad(87.4, 90.2),
    },
    // Parameters, FLOPs, SQuAD: Table 4. Share: Joshi et al. 2020, section 3.1; its GLUE scores are of the test sets.
    Published {
        name: "SpanBERT-Large",
        objective: "span MLM, SBO",
        trained_tokens: 0.15,
        parameters: 335.0,
        flops: Flops::Printed(7.1e20),
        glue: None,
        squad_1_1: squad(88.8, 94.6),
        squad_2_0: squad(85.7, 88.7),
    },
    // Parameters, GLUE: Table 1. FLOPs: script, which is below the 1.4e18 of Table 1. Share of this and the next: section 2.
    Published {
        name: "ELECTRA-Small",
        objective: "RTD",
        trained_tokens: 1.0,
        parameters: 14.0,
        flops: Flops::Electra { config: ElectraConfig::small, batch: 128, length: 128, steps: 1e6 },
        glue: Some(79.9),
        squad_1_1: None,
        squad_2_0: None,
    },
    // Parameters, GLUE: Table 1. SQuAD: Table 4. FLOPs: script.
    Published {
        name: "ELECTRA-Base",
        objective: "RTD",
        trained_tokens: 1.0,
        parameters: 110.0,
        flops: Flops::Electra {
            config: ElectraConfig::base,
            batch: 256,
            length: 512,
            steps: 766e3,
        },
        glue: Some(85.1),
        squad_1_1: squad(84.5, 90.8),
        squad_2_0: squad(80.5, 83.3),
    },
    // Parameters, GLUE: Table 2. SQuAD: Table 4. FLOPs: script.
    Published {
        name: "ELECTRA-400K",
        objective: "RTD",
        trained_tokens: 1.0,
        parameters: 335.0,
        flops: Flops::Electra {
            config: ElectraConfig::large,
            batch: 2048,
            length: 512,
            steps: 400e3,
        },
        glue: Some(89.0),
        squad_1_1: squad(88.7, 94.2),
        squad_2_0: squad(86.9, 89.6),
    },
    // ELECTRA-Large as released. Parameters, GLUE: Table 2. SQuAD: Table 4. FLOPs: script.
    Published {
        name: "ELECTRA-1.75M",
        objective: "RTD",
        trained_tokens: 1.0,
        parameters: 335.0,
        flops: Flops::Electra {
            config: ElectraConfig::large,
            batch: 2048,
            length: 512,
            steps: 1.75e6,
        },
        glue: Some(89.5),
        squad_1_1: squad(89.7, 94.9),
        squad_2_0: squad(88.0, 90.6),
    },
    // He et al. 2021 (arXiv:2111.09543): SQuAD 2.0 of Table 9; no average over GLUE. Parameters: the tensors of the released
    // model, 85.5M without embeddings.
    Published {
        name: "DeBERTaV3-Base",
        objective: "RTD, GDES",
        trained_tokens: 1.0,
        parameters: 183.831_552,
        flops: Flops::Unknown,
        glue: None,
        squad_1_1: None,
        squad_2_0: squad(85.4, 88.4),
    },
    // He et al. 2021: GLUE of Table 7, SQuAD 2.0 of Table 8. Parameters: as above, 302.8M without embeddings.
    Published {
        name: "DeBERTaV3-Large",
        objective: "RTD, GDES",
        trained_tokens: 1.0,
        parameters: 434.012_160,
        flops: Flops::Unknown,
        glue: Some(91.37),
        squad_1_1: None,
        squad_2_0: squad(89.0, 91.5),
    },
];

/// The rows of the published models.
///
/// # Errors
/// If the config of a model has no generator.
pub(crate) fn rows() -> anyhow::Result<Vec<Row>> {
    MODELS.iter().map(Published::row).collect()
}

impl Published {
    fn row(&self) -> anyhow::Result<Row> {
        Ok(Row {
            name: self.name.to_owned(),
            objective: self.objective.to_owned(),
            trained_tokens: Some(self.trained_tokens),
            parameters: Some((self.parameters * 1e6).round() as u64),
            flops: self.flops.total()?,
            scores: RowScores {
                glue: self.glue,
                squad_1_1: self.squad_1_1,
                squad_2_0: self.squad_2_0,
                ..RowScores::default()
            },
        })
    }
}

impl Flops {
    fn total(&self) -> anyhow::Result<Option<f64>> {
        Ok(match self {
            Self::LanguageModel(model) => Some(model.flops()),
            Self::Electra { config, batch, length, steps } => {
                let config = config(VOCABULARY);
                let networks = NetworkSpec::electra(&config)?;
                Some(steps * flops::train_step(&Parts::shipped(), &networks, *batch, *length))
            }
            Self::Measured(total) | Self::Printed(total) => Some(*total),
            Self::Unknown => None,
        })
    }
}

impl LanguageModel {
    fn flops(&self) -> f64 {
        // The script's heads, of 64.
        let sizes = EncoderSizes::new(self.layers, self.hidden, self.hidden / 64);
        let config = EncoderConfig::electra(self.vocab_size, self.embedding_size, sizes);
        let (parts, predicted) = (Parts::shipped(), self.predicted);
        let step = flops::language_model_step(&parts, &config, predicted, self.batch, self.length);
        self.steps * step
    }
}
