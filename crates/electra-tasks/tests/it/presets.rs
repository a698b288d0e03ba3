//! Published hyperparameters by size and group, and the config files with them.

use crate::{e2e::Fixture, root};
use electra_files::Section;
use electra_model::EncoderConfig;
use electra_scores::{TaskFile, glue};
use electra_tasks::{
    FinetuneConfig, Kinds, Preset, Task,
    preset::{Group, Size},
};

/// Table 7 of arXiv:2003.10555, and the defaults of the released `configure_finetuning.py`.
#[test]
fn presets_have_the_published_values() {
    let rates = |preset: Preset, size| {
        let rates = preset.config(size, Group::Usual).optimizer;
        (rates.learning_rate, rates.layer_decay, rates.weight_decay)
    };
    assert_eq!(rates(Preset::Paper, Size::Small), (3e-4, 0.8, 0.0));
    assert_eq!(rates(Preset::Paper, Size::Base), (1e-4, 0.8, 0.0));
    assert_eq!(rates(Preset::Paper, Size::Large), (5e-5, 0.9, 0.0));
    assert_eq!(rates(Preset::Repo, Size::Small), (1e-4, 0.8, 0.01));
    assert_eq!(rates(Preset::Repo, Size::Base), (1e-4, 0.8, 0.01));
    assert_eq!(rates(Preset::Repo, Size::Large), (5e-5, 0.9, 0.01));
    for preset in [Preset::Paper, Preset::Repo] {
        let length = |group| {
            let train = preset.config(Size::Base, group).train;
            (train.epochs, train.max_length)
        };
        assert_eq!(length(Group::Usual), (3.0, 128));
        assert_eq!(length(Group::Long), (10.0, 128));
        assert_eq!(length(Group::Questions), (2.0, 512));
        assert_eq!(length(Group::Chunking), (3.0, 256));
        let config = preset.config(Size::Base, Group::Usual);
        let (train, rates) = (&config.train, &config.optimizer);
        assert_eq!((train.batch_size, rates.warmup_fraction, config.head.dropout), (32, 0.1, 0.1));
        config.validate().unwrap();
    }
}

#[test]
fn the_files_of_the_paper_are_its_preset() {
    for (name, size) in [("small", Size::Small), ("base", Size::Base), ("large", Size::Large)] {
        for (kind, group) in [("", Group::Usual), ("squad-", Group::Questions)] {
            let path = root().join(format!("configs/finetune-{kind}{name}.toml"));
            let file = FinetuneConfig::read(&path, &[]).unwrap();
            assert_eq!(file, Preset::Paper.config(size, group), "{kind}{name}");
        }
    }
}

#[test]
fn tasks_are_of_the_group_that_the_reference_puts_them_in() {
    for task in glue::TASKS.iter().filter_map(|task| task.task().ok()) {
        let long = matches!(task.name.as_str(), "rte" | "stsb");
        let expected = if long { Group::Long } else { Group::Usual };
        assert_eq!(task.group(), expected, "{}", task.name);
    }
    for (name, expected) in [("squad1.1", Group::Questions), ("squad2.0", Group::Questions)] {
        let task = Kinds::default().named(name, &[]).unwrap().unwrap();
        assert_eq!(task.group(), expected, "{name}");
    }
    let files = "[files]\ntrain = 'a.tsv'\ndev = 'b.tsv'\n";
    let tags = format!("kind = 'tagging'\nscheme = 'bio'\nmetric = 'f1'\n{files}");
    let questions = format!("kind = 'squad'\nversion = '1.1'\nmetric = 'f1'\n{files}");
    let texts = "text_a = 'a'\nlabel = 'b'\n";
    let classes = format!("kind = 'classification'\n{texts}metric = 'accuracy'\n{files}");
    let sets = format!("kind = 'multi-label'\n{texts}metric = 'micro-f1'\n{files}");
    // The kind matters, not the name.
    for name in ["squad-topics", "squad", "newsqa", "chunk", "naturalqs", "faqs"] {
        for (task, expected) in [
            (&tags, Group::Chunking),
            (&questions, Group::Questions),
            (&classes, Group::Usual),
            (&sets, Group::Usual),
        ] {
            let file = TaskFile::from_text("task.toml", format!("name = '{name}'\n{task}"));
            let (task, _) = Kinds::default().describe(&file, &[]).unwrap();
            assert_eq!(task.group(), expected, "{name}");
        }
    }
}

/// 10 epochs only if all tasks have as many; the inputs are the longest of all tasks.
#[test]
fn several_tasks_are_of_the_group_of_the_one_with_the_longest_inputs() {
    let group = |names: &[&str]| {
        let groups = names.iter().map(|name| match glue::find(name) {
            Ok(task) => task.task().unwrap().group(),
            Err(_) => Kinds::default().named(name, &[]).unwrap().unwrap().group(),
        });
        Group::of_all(&groups.collect::<Vec<_>>())
    };
    assert_eq!(group(&["rte", "stsb"]), Group::Long);
    assert_eq!(group(&["rte", "mnli"]), Group::Usual);
    assert_eq!(group(&["mnli", "stsb"]), Group::Usual);
    assert_eq!(group(&["rte", "squad1.1"]), Group::Questions);
    assert_eq!(group(&["squad2.0", "rte", "mnli"]), Group::Questions);
}

#[test]
fn the_size_follows_from_the_hidden_units() {
    let of = |hidden| Size::of(&EncoderConfig { hidden, ..encoder() });
    let sizes = [128, 256, 384, 768, 1024, 1280].map(of);
    use Size::{Base, Large, Small};
    assert_eq!(sizes, [Small, Small, Small, Base, Large, Large]);
}

fn encoder() -> EncoderConfig {
    electra_model::ElectraConfig::small(30_522).discriminator
}

#[test]
fn overrides_of_a_preset_name_what_they_cannot_set() {
    let paper = Preset::Paper.config(Size::Small, Group::Usual);
    let with = |set: &str| paper.with_overrides("--preset paper", &[set.to_owned()]);
    assert_eq!(with("train.epochs=4").unwrap().train.epochs, 4.0);
    crate::says(with("train.epoch=4"), &["train.epoch=4", "did you mean \"epochs\""]);
    crate::says(with("evaluate.choose=best"), &["evaluate.choose", "evaluate.every above 0"]);
}

/// A model of 64 positions: lengths that nobody set are lowered, one that is set is an error.
#[test]
fn a_preset_fits_the_positions_of_the_model() {
    let fixture = Fixture::new();
    let read = |group, sets: &[&str]| {
        let sets: Vec<String> = sets.iter().map(|&set| set.to_owned()).collect();
        Preset::Paper.read(&fixture.path("model"), group, &Section::default(), &sets).unwrap()
    };
    assert_eq!(read(Group::Usual, &[]).train.max_length, 64);
    let lengths = |config: &FinetuneConfig| {
        let squad = config.squad.as_ref().unwrap();
        (config.train.max_length, squad.max_query_length, squad.stride)
    };
    // Of 61 tokens half for the question; windows of 31 overlap by half, since an answer may have 30.
    assert_eq!(lengths(&read(Group::Questions, &[])), (64, 30, 16));
    // Windows of 49 overlap by 24, less than the longest answer.
    let short = read(Group::Questions, &["squad.max_query_length=12"]);
    assert_eq!(lengths(&short), (64, 12, 25));
    // What is set stays.
    let set = ["train.max_length=40", "squad.max_query_length=30", "squad.stride=99"];
    assert_eq!(lengths(&read(Group::Questions, &set)), (40, 30, 99));
    assert_eq!(lengths(&read(Group::Questions, &["train.max_length=40"])), (40, 18, 10));
    let long = read(Group::Usual, &["train.max_length=65"]);
    assert_eq!(long.train.max_length, 65);
    let task = fixture.read_task();
    let run = fixture.finetune(&task, &long, "out").run(&false.into(), &mut |_| {});
    crate::says(run, &["train.max_length = 65", "64"]);
    // A model of 512 positions has the published values.
    let mut config = Preset::Paper.config(Size::Small, Group::Questions);
    config.fit(512, |_| false);
    assert_eq!(config, Preset::Paper.config(Size::Small, Group::Questions));
}
