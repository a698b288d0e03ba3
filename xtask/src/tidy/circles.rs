//! Import circles: files of a crate that import from each other, directly or indirectly.

use super::modules::{self, Definition, Module};
use anyhow::Result;
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
    path::{Path, PathBuf},
};

/// The maximum depth of re-exports that are followed; a deeper path leads to itself.
const DEEPEST: usize = 32;

/// For each file, the files that it imports from, with the first import of each.
type Imports = BTreeMap<PathBuf, BTreeMap<PathBuf, String>>;

/// The target of a path.
#[derive(Clone, Debug, PartialEq)]
enum Target {
    /// An item, by the module that defines it.
    Item(usize),
    Module(usize),
    /// Another crate, or an unknown name.
    Elsewhere,
}

/// The import circles of the crate with the root file `root`: for each, its files and an import for each edge.
pub(super) fn circles(root: &Path) -> Result<Vec<String>> {
    let imports = imports(&modules::read(root)?);
    let shown = |file: &Path| {
        file.strip_prefix(root.parent().unwrap_or(root)).unwrap_or(file).display().to_string()
    };
    let mut found = Vec::new();
    for circle in strongly_connected(&imports) {
        let names: Vec<_> = circle.iter().map(|file| shown(file)).collect();
        let mut message = format!("import circle of {}", names.join(", "));
        for from in &circle {
            for (to, import) in imports[*from].iter().filter(|(to, _)| circle.contains(*to)) {
                let _ = write!(message, "\n    {} -> {}: {import}", shown(from), shown(to));
            }
        }
        found.push(message);
    }
    Ok(found)
}

fn imports(modules: &[Module]) -> Imports {
    let mut imports = Imports::new();
    for (place, module) in modules.iter().enumerate() {
        let from = imports.entry(module.file.clone()).or_default();
        let mut edge = |target: Target, line: usize, path: &str| {
            if let Target::Item(to) = target
                && modules[to].file != module.file
            {
                let import = || format!("line {line}: {path}");
                from.entry(modules[to].file.clone()).or_insert_with(import);
            }
        };
        for path in &module.paths {
            let target = resolve(modules, place, &path.segments, 0);
            edge(target, path.line, &path.segments.join("::"));
        }
        for glob in &module.globs {
            let path = format!("{}::*", glob.segments.join("::"));
            match resolve(modules, place, &glob.segments, 0) {
                Target::Module(of) => {
                    for name in modules[of].names.keys() {
                        let target = lookup(modules, of, name, Wanted::Item, 0);
                        edge(target, glob.line, &path);
                    }
                }
                // The variants of an enum.
                item => edge(item, glob.line, &path),
            }
        }
    }
    imports
}

/// The target of the path `segments` in a module.
fn resolve(modules: &[Module], from: usize, segments: &[String], depth: usize) -> Target {
    let Some((first, mut rest)) = segments.split_first() else { return Target::Elsewhere };
    let wanted = if rest.is_empty() { Wanted::Item } else { Wanted::Module };
    let mut target = match first.as_str() {
        "crate" => Target::Module(0),
        "self" => Target::Module(from),
        "super" => modules[from].parent.map_or(Target::Elsewhere, Target::Module),
        name => lookup(modules, from, name, wanted, depth),
    };
    while let ([name, after @ ..], Target::Module(module)) = (rest, &target) {
        let wanted = if after.is_empty() { Wanted::Item } else { Wanted::Module };
        target = match name.as_str() {
            "super" => modules[*module].parent.map_or(Target::Elsewhere, Target::Module),
            name => match lookup(modules, *module, name, wanted, depth) {
                // An item that a macro defines in the module.
                Target::Elsewhere if !modules[*module].names.contains_key(name) => {
                    Target::Item(*module)
                }
                found => found,
            },
        };
        rest = after;
    }
    target
}

/// What to look up: an item and a module may have the same name.
#[derive(Clone, Copy, PartialEq)]
enum Wanted {
    Item,
    Module,
}

/// The meaning of a name in a module.
fn lookup(modules: &[Module], of: usize, name: &str, wanted: Wanted, depth: usize) -> Target {
    if depth > DEEPEST {
        return Target::Elsewhere;
    }
    let module = &modules[of];
    let definitions = module.names.get(name).into_iter().flatten();
    let named = definitions.map(|definition| match definition {
        Definition::Item => Target::Item(of),
        Definition::Module(child) => Target::Module(*child),
        Definition::Import(path) => resolve(modules, of, path, depth + 1),
    });
    let in_globs = module.globs.iter().filter_map(|glob| {
        match resolve(modules, of, &glob.segments, depth + 1) {
            Target::Module(module) => Some(lookup(modules, module, name, wanted, depth + 1)),
            _ => None,
        }
    });
    let mut found: Vec<_> =
        named.chain(in_globs).filter(|target| *target != Target::Elsewhere).collect();
    found.sort_by_key(|target| matches!(target, Target::Module(_)) != (wanted == Wanted::Module));
    found.into_iter().next().unwrap_or(Target::Elsewhere)
}

/// Sets of at least two files in which each file imports every other, directly or indirectly.
fn strongly_connected(imports: &Imports) -> Vec<BTreeSet<&PathBuf>> {
    let reached: BTreeMap<&PathBuf, BTreeSet<&PathBuf>> =
        imports.keys().map(|file| (file, reachable(imports, file))).collect();
    let mut circles = BTreeSet::new();
    for (file, others) in &reached {
        if others.contains(file) {
            circles.insert(
                others.iter().copied().filter(|other| reached[other].contains(file)).collect(),
            );
        }
    }
    circles.into_iter().collect()
}

/// All files that `from` imports, directly or indirectly; itself only if it is in a circle.
fn reachable<'a>(imports: &'a Imports, from: &PathBuf) -> BTreeSet<&'a PathBuf> {
    let (mut found, mut next) = (BTreeSet::new(), vec![from]);
    while let Some(file) = next.pop() {
        for to in imports[file].keys() {
            if found.insert(to) {
                next.push(to);
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    /// The circles of a crate with these files below `src`.
    fn find(files: &[(&str, &str)]) -> Vec<String> {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = dir.path().join("src").join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        circles(&dir.path().join("src/lib.rs")).unwrap()
    }

    #[track_caller]
    fn free(files: &[(&str, &str)]) {
        assert_eq!(find(files), Vec::<String>::new());
    }

    /// One circle of these files.
    #[track_caller]
    fn circle(files: &[(&str, &str)], of: &str) -> String {
        let [found] = &find(files)[..] else { panic!("{:?}", find(files)) };
        assert_eq!(found.lines().next().unwrap(), format!("import circle of {of}"), "{found}");
        found.clone()
    }

    const ERROR: (&str, &str) = ("error.rs", "pub enum Error { Io }\npub type Result<T> = T;");

    #[test]
    fn imports_through_re_exports_are_of_the_defining_file() {
        let root = "mod a;\nmod error;\npub use a::A;\npub use error::{Error, Result};";
        free(&[("lib.rs", root), ("a.rs", "use crate::{Error, Result};\npub struct A;"), ERROR]);
        let error = ("error.rs", "pub enum Error { A(crate::A) }\npub type Result<T> = T;");
        let message = circle(
            &[
                ("lib.rs", root),
                ("a.rs", "//! A.\nuse crate::{Error, Result};\npub struct A;"),
                error,
            ],
            "a.rs, error.rs",
        );
        assert!(message.contains("\n    a.rs -> error.rs: line 2: crate::Error\n"), "{message}");
        assert!(message.ends_with("\n    error.rs -> a.rs: line 1: crate::A"), "{message}");
    }

    #[test]
    fn a_child_that_uses_what_its_parent_defines_is_in_a_circle() {
        let kind = "mod child;\npub enum Kind { One }\npub fn f() { child::run(); }";
        for child in [
            "use super::Kind;\npub fn run() {}",
            "use super::*;\npub fn run() {}",
            "use crate::parent::Kind::{self, One};\npub fn run() {}",
            "use super::Kind::*;\npub fn run() {}",
            "pub fn run() { let _ = [super::Kind::One]; }",
            "pub fn run() { println!(\"{:?}\", f(g, super::Kind::One)) }",
            "pub fn run() -> Run { Run { a: 1, ..super::Kind::default() } }",
            "mod inner { use super::super::Kind; }\npub fn run() {}",
        ] {
            let root = ("lib.rs", "mod parent;");
            let message = circle(
                &[root, ("parent.rs", kind), ("parent/child.rs", child)],
                "parent/child.rs, parent.rs",
            );
            assert!(
                message.contains("parent.rs -> parent/child.rs: line 3: child::run"),
                "{message}"
            );
        }
    }

    #[test]
    fn declaring_a_module_is_no_import() {
        let parent = "mod child;\npub enum Kind { One }";
        let child = ("parent/child.rs", "use super::Kind;\npub fn run() {}");
        free(&[("lib.rs", "pub mod parent;"), ("parent.rs", parent), child]);
        let folder = [("parent/mod.rs", parent), child];
        free(&[("lib.rs", "pub mod parent;"), folder[0], folder[1]]);
    }

    #[test]
    fn siblings_are_reached_through_their_parent() {
        let parent = "mod a;\nmod b;\npub use a::A;\npub use b::B;";
        let (a, b) = ("use super::b::B;\npub struct A;", "pub struct B;");
        free(&[
            ("lib.rs", "mod p;\npub use p::*;"),
            ("p.rs", parent),
            ("p/a.rs", a),
            ("p/b.rs", b),
        ]);
        let b = "use crate::A as Other;\npub struct B;";
        circle(
            &[("lib.rs", "mod p;\npub use p::*;"), ("p.rs", parent), ("p/a.rs", a), ("p/b.rs", b)],
            "p/a.rs, p/b.rs",
        );
    }

    #[test]
    fn modules_that_are_imported_count_by_what_is_used_of_them() {
        let parent = "pub mod a;\npub mod b;\npub struct P;";
        let a = "use crate::p::{self, b};\npub struct A(b::B);";
        free(&[
            ("lib.rs", "pub mod p;"),
            ("p.rs", parent),
            ("p/a.rs", a),
            ("p/b.rs", "pub struct B;"),
        ]);
        let b = "use super::a;\npub struct B(Vec<a::A>);";
        circle(
            &[("lib.rs", "pub mod p;"), ("p.rs", parent), ("p/a.rs", a), ("p/b.rs", b)],
            "p/a.rs, p/b.rs",
        );
    }

    #[test]
    fn one_name_may_be_a_module_and_a_function() {
        let root = "mod evaluate;\nmod run;\npub use evaluate::evaluate;\npub use run::run;";
        let evaluate = ("evaluate.rs", "use crate::run;\npub fn evaluate() { run() }");
        free(&[("lib.rs", root), evaluate, ("run.rs", "pub fn run() {}")]);
        circle(
            &[("lib.rs", root), evaluate, ("run.rs", "use crate::evaluate;\npub fn run() {}")],
            "evaluate.rs, run.rs",
        );
    }

    #[test]
    fn macros_and_circles_of_three_are_found() {
        let root = "mod a;\nmod b;\nmod c;";
        let a = ("a.rs", "macro_rules! made { () => { $crate::b::f() } }\npub(crate) use made;");
        let b = ("b.rs", "pub fn f() { crate::c::g() }");
        free(&[("lib.rs", root), a, b, ("c.rs", "pub fn g() {}")]);
        let c = ("c.rs", "pub fn g() { crate::a::made!() }");
        let message = circle(&[("lib.rs", root), a, b, c], "a.rs, b.rs, c.rs");
        assert_eq!(message.lines().count(), 4, "{message}");
    }

    #[test]
    fn tests_are_left_out() {
        let root = "mod a;\nmod b;\n#[cfg(test)]\nmod tests;";
        let a = "use crate::b::B;\npub struct A;";
        let b = "pub struct B;\n#[cfg(test)]\nuse crate::{a::{A}};\n#[cfg(test)]\nmod tests {\n    use crate::a::A;\n}";
        free(&[("lib.rs", root), ("a.rs", a), ("b.rs", b)]);
    }

    #[test]
    fn a_missing_file_and_broken_code_are_named() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("lib.rs");
        for (text, words) in [("mod a;", "module a"), ("mod a {", "lib.rs")] {
            fs::write(&root, text).unwrap();
            let message = circles(&root).unwrap_err().to_string();
            assert!(message.contains("lib.rs") && message.contains(words), "{message}");
        }
    }
}
