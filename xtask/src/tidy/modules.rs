//! The modules of a crate: their items and the paths in them, as far as import circles need them.

use anyhow::{Context, Result, anyhow, bail};
use proc_macro2::{Delimiter, Group, TokenStream, TokenTree};
use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
};

/// A path in a module, such as `super::Error::Io`.
#[derive(Clone, Debug)]
pub(super) struct Named {
    pub(super) segments: Vec<String>,
    /// The line of its last segment, from 1.
    pub(super) line: usize,
}

/// The meaning of a name in a module.
#[derive(Clone, Debug)]
pub(super) enum Definition {
    /// A type, function, trait, constant or macro of the module itself.
    Item,
    /// A child module, by its index in the crate's modules.
    Module(usize),
    /// An import or re-export of a path.
    Import(Vec<String>),
}

/// A module without its tests.
#[derive(Debug)]
pub(super) struct Module {
    pub(super) file: PathBuf,
    pub(super) parent: Option<usize>,
    /// A name may be that of both a module and a function, or of a type and a macro.
    pub(super) names: HashMap<String, Vec<Definition>>,
    /// Glob imports: `super` for `use super::*`.
    pub(super) globs: Vec<Named>,
    /// Imports, and other paths of at least two segments.
    pub(super) paths: Vec<Named>,
}

/// Reads the crate with the root file `root`, such as `src/lib.rs`; the first module is the root.
pub(super) fn read(root: &Path) -> Result<Vec<Module>> {
    let mut modules = Vec::new();
    read_file(&mut modules, root, root.parent().context("a root file is in a folder")?, None)?;
    Ok(modules)
}

/// Reads the module in `file`, whose children are in `folder`, and returns its index.
fn read_file(
    modules: &mut Vec<Module>,
    file: &Path,
    folder: &Path,
    parent: Option<usize>,
) -> Result<usize> {
    let text = fs::read_to_string(file).with_context(|| file.display().to_string())?;
    let tokens: TokenStream = text.parse().map_err(|e| anyhow!("{}: {e}", file.display()))?;
    read_module(modules, without_tests(tokens), file, folder, parent)
}

fn read_module(
    modules: &mut Vec<Module>,
    tokens: Vec<TokenTree>,
    file: &Path,
    folder: &Path,
    parent: Option<usize>,
) -> Result<usize> {
    let this = modules.len();
    modules.push(Module {
        file: file.to_owned(),
        parent,
        names: HashMap::new(),
        globs: Vec::new(),
        paths: Vec::new(),
    });
    // Bodies of inline modules have paths of their own.
    let mut own = Vec::new();
    let mut rest = tokens.as_slice();
    while let [token, after @ ..] = rest {
        let (name, definition) = match rest {
            [TokenTree::Ident(word), TokenTree::Ident(name), TokenTree::Group(body), ..]
                if word == "mod" =>
            {
                rest = &rest[3..];
                let (name, body) = (name.to_string(), body.stream().into_iter().collect());
                let child = read_module(modules, body, file, &folder.join(&name), Some(this))?;
                modules[this].define(name, Definition::Module(child));
                continue;
            }
            [TokenTree::Ident(word), TokenTree::Ident(name), ..] if word == "mod" => {
                let below = folder.join(name.to_string());
                let files = [below.with_extension("rs"), below.join("mod.rs")];
                let Some(found) = files.iter().find(|file| file.is_file()) else {
                    bail!("{}: there is no file for the module {name}", file.display());
                };
                let child = read_file(modules, found, &below, Some(this))?;
                (name, Definition::Module(child))
            }
            [TokenTree::Ident(word), TokenTree::Ident(name), ..] if defines(&word.to_string()) => {
                (name, Definition::Item)
            }
            [TokenTree::Ident(word), TokenTree::Punct(_), TokenTree::Ident(name), ..]
                if word == "macro_rules" =>
            {
                (name, Definition::Item)
            }
            _ => {
                own.push(token.clone());
                rest = after;
                continue;
            }
        };
        modules[this].define(name.to_string(), definition);
        own.push(token.clone());
        rest = after;
    }
    modules[this].name_paths(&own);
    Ok(this)
}

/// Whether a keyword is followed by the name of an item.
fn defines(word: &str) -> bool {
    ["struct", "enum", "union", "trait", "type", "const", "static", "fn"].contains(&word)
}

impl Module {
    fn define(&mut self, name: String, definition: Definition) {
        self.names.entry(name).or_default().push(definition);
    }

    /// Finds imports and other paths, also in groups.
    fn name_paths(&mut self, mut rest: &[TokenTree]) {
        while let [token, after @ ..] = rest {
            rest = match token {
                TokenTree::Ident(word) if word == "use" => self.import(&[], after),
                TokenTree::Ident(_) => {
                    let (segments, after) = path(rest);
                    if segments.len() > 1 {
                        self.paths.push(Named { segments, line: token.span().start().line });
                    }
                    after
                }
                TokenTree::Group(group) => {
                    self.name_paths(&trees(group));
                    after
                }
                _ => after,
            };
        }
    }

    /// Reads a tree of imports with the prefix `prefix`, and returns the tokens after it.
    fn import<'a>(&mut self, prefix: &[String], tokens: &'a [TokenTree]) -> &'a [TokenTree] {
        let (mut segments, mut rest) = path(tokens);
        segments.splice(0..0, prefix.iter().cloned());
        let line = tokens.first().map_or(0, |token| token.span().start().line);
        rest = skip_colons(rest);
        match rest {
            [TokenTree::Punct(star), after @ ..] if star.as_char() == '*' => {
                self.globs.push(Named { segments, line });
                after
            }
            [TokenTree::Group(group), after @ ..] => {
                let inner = trees(group);
                for tree in inner.split(|token| is(token, ',')).filter(|tree| !tree.is_empty()) {
                    self.import(&segments, tree);
                }
                after
            }
            _ => {
                if segments.last().is_some_and(|last| last == "self") {
                    segments.pop();
                }
                let renamed = match rest {
                    [TokenTree::Ident(word), TokenTree::Ident(name), ..] if word == "as" => {
                        Some(name.to_string())
                    }
                    _ => segments.last().cloned(),
                };
                if let Some(name) = renamed {
                    self.define(name, Definition::Import(segments.clone()));
                }
                self.paths.push(Named { segments, line });
                rest
            }
        }
    }
}

/// The path at the start of the tokens, and the tokens after it.
fn path(mut rest: &[TokenTree]) -> (Vec<String>, &[TokenTree]) {
    let mut segments = Vec::new();
    while let [TokenTree::Ident(name), after @ ..] = skip_colons(rest) {
        // Two adjacent names are not a path.
        if !segments.is_empty() && skip_colons(rest).len() == rest.len() {
            break;
        }
        segments.push(name.to_string());
        rest = after;
    }
    (segments, rest)
}

fn skip_colons(tokens: &[TokenTree]) -> &[TokenTree] {
    match tokens {
        [a, b, after @ ..] if is(a, ':') && is(b, ':') => after,
        _ => tokens,
    }
}

fn is(token: &TokenTree, character: char) -> bool {
    matches!(token, TokenTree::Punct(punct) if punct.as_char() == character)
}

fn trees(group: &Group) -> Vec<TokenTree> {
    group.stream().into_iter().collect()
}

/// Tokens without items that are only for tests.
fn without_tests(tokens: TokenStream) -> Vec<TokenTree> {
    let tokens: Vec<_> = tokens.into_iter().collect();
    let (mut kept, mut rest) = (Vec::new(), tokens.as_slice());
    while let [token, after @ ..] = rest {
        match (token, after) {
            (hash, [TokenTree::Group(attribute), after @ ..])
                if is(hash, '#') && is_test(attribute) =>
            {
                // An item ends with its body, or with a semicolon after what may be braces of an import.
                let end = after.iter().position(|token| {
                    is(token, ';')
                        || matches!(token, TokenTree::Group(g) if g.delimiter() == Delimiter::Brace)
                });
                rest = &after[end.map_or(after.len(), |end| end + 1)..];
                if let [semicolon, after @ ..] = rest
                    && is(semicolon, ';')
                {
                    rest = after;
                }
            }
            (TokenTree::Group(group), _) => {
                let inner = without_tests(group.stream()).into_iter().collect();
                let mut inner = Group::new(group.delimiter(), inner);
                inner.set_span(group.span());
                kept.push(inner.into());
                rest = after;
            }
            _ => {
                kept.push(token.clone());
                rest = after;
            }
        }
    }
    kept
}

fn is_test(attribute: &Group) -> bool {
    let text = attribute.stream().to_string().replace(' ', "");
    ["cfg(test)", "cfg(doctest)", "cfg(all(test,"].iter().any(|test| text.starts_with(test))
}
