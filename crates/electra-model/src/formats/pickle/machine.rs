//! The stack machine of pickles, restricted to what state dicts need.

use super::view::{Storage, TensorView};
use std::{collections::HashMap, rc::Rc};
use tch::Kind;

/// Maximum size of a program in bytes; a thousand tensors take about 200,000. A value takes at most a few hundred bytes,
/// so this bounds the machine's memory.
pub(super) const MAX_PROGRAM: usize = 1 << 22;

/// Maximum length of a tensor's or storage's name in bytes, which bounds the time for hashing repeated names.
const MAX_NAME: usize = 512;

type Ref = usize;

/// A value on the stack or in the memo.
#[derive(Debug)]
enum Value {
    Mark,
    None,
    Bool(bool),
    Int(i64),
    /// A float of a training checkpoint, whose value no tensor needs.
    Float,
    /// [`MAGIC`].
    Magic,
    Str(Rc<str>),
    Tuple(Vec<Ref>),
    List(Vec<Ref>),
    Dict(Vec<(Ref, Ref)>),
    Global(Global),
    Storage(Storage),
    Tensor(Rc<TensorView>),
}

/// The globals that a state dict needs.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Global {
    OrderedDict,
    RebuildTensor,
    RebuildParameter,
    Storage(Kind),
}

const GLOBALS: [(&str, &str, Global); 12] = [
    ("collections", "OrderedDict", Global::OrderedDict),
    ("torch._utils", "_rebuild_tensor_v2", Global::RebuildTensor),
    // PyTorch before 0.4.
    ("torch._utils", "_rebuild_tensor", Global::RebuildTensor),
    ("torch._utils", "_rebuild_parameter", Global::RebuildParameter),
    ("torch", "FloatStorage", Global::Storage(Kind::Float)),
    ("torch", "DoubleStorage", Global::Storage(Kind::Double)),
    ("torch", "HalfStorage", Global::Storage(Kind::Half)),
    ("torch", "BFloat16Storage", Global::Storage(Kind::BFloat16)),
    ("torch", "LongStorage", Global::Storage(Kind::Int64)),
    ("torch", "IntStorage", Global::Storage(Kind::Int)),
    ("torch", "ByteStorage", Global::Storage(Kind::Uint8)),
    ("torch", "BoolStorage", Global::Storage(Kind::Bool)),
];

/// The keys of a training checkpoint that may have the state dict.
const NESTED: [&str; 3] = ["state_dict", "model_state_dict", "model"];

/// What to do with a file that has more than a state dict.
const WEIGHTS_ONLY: &str =
    "for a training checkpoint, save only its weights: torch.save(model.state_dict(), FILE)";

/// The number that a file of PyTorch before 1.6 begins with, 0x1950a86a20f9469cfc6c, in little-endian bytes.
const MAGIC: [u8; 10] = [0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19];

/// Tensors by name, in the program's order.
pub(super) type State = Vec<(Rc<str>, Rc<TensorView>)>;

/// The value that a program leaves.
pub(super) struct Pickle {
    arena: Vec<Value>,
    result: Ref,
    /// The program's length in bytes; more may follow it.
    pub(super) length: usize,
}

impl Pickle {
    /// Runs the program at the start of `bytes`, which has at most [`MAX_PROGRAM`] bytes.
    pub(super) fn run(bytes: &[u8]) -> Result<Self, String> {
        let program = &bytes[..bytes.len().min(MAX_PROGRAM)];
        let mut machine =
            Machine { program, at: 0, arena: Vec::new(), stack: Vec::new(), memo: HashMap::new() };
        let result = machine.run().map_err(|e| match machine.at {
            at if at == MAX_PROGRAM => format!("the program is longer than {MAX_PROGRAM} bytes"),
            at => format!("byte {at}: {e}"),
        })?;
        Ok(Self { arena: machine.arena, result, length: machine.at })
    }

    /// Its state dict, or that of the training checkpoint that it is ([`NESTED`]). Other items that are not tensors (numbers,
    /// strings, lists) are rejected.
    pub(super) fn state_dict(&self) -> Result<State, String> {
        let Value::Dict(items) = &self.arena[self.result] else {
            return Err("is not a dict of tensors".to_owned());
        };
        let nested = NESTED.iter().find_map(|key| match &self.arena[self.item(key)?] {
            Value::Dict(inner) => Some(inner),
            _ => None,
        });
        let items = nested.unwrap_or(items);
        // The last item of a name wins, as in a dict; one tensor may have two names.
        let mut tensors = State::new();
        let mut indices: HashMap<Rc<str>, usize> = HashMap::new();
        for &(key, value) in items {
            let Value::Str(name) = &self.arena[key] else {
                return Err("has a key that is not a string".to_owned());
            };
            check_length(name)?;
            let Value::Tensor(view) = &self.arena[value] else {
                return Err(format!("{name:?} is not a plain tensor; {WEIGHTS_ONLY}"));
            };
            match indices.get(name) {
                Some(&index) => tensors[index].1 = Rc::clone(view),
                None => {
                    indices.insert(Rc::clone(name), tensors.len());
                    tensors.push((Rc::clone(name), Rc::clone(view)));
                }
            }
        }
        Ok(tensors)
    }

    /// The storages that the program refers to.
    pub(super) fn storages(&self) -> impl Iterator<Item = &Storage> {
        self.arena.iter().filter_map(|value| match value {
            Value::Storage(storage) => Some(storage),
            _ => None,
        })
    }

    /// Whether it is the number that a file of PyTorch before 1.6 begins with.
    pub(super) fn is_magic(&self) -> bool {
        matches!(self.arena[self.result], Value::Magic)
    }

    /// Its number.
    pub(super) fn integer(&self) -> Option<i64> {
        match self.arena[self.result] {
            Value::Int(value) => Some(value),
            _ => None,
        }
    }

    /// The strings of its list.
    pub(super) fn strings(&self) -> Option<Vec<Rc<str>>> {
        let Value::List(items) = &self.arena[self.result] else { return None };
        let string = |&item: &Ref| match &self.arena[item] {
            Value::Str(string) => Some(Rc::clone(string)),
            _ => None,
        };
        items.iter().map(string).collect()
    }

    /// The value of a key of its dict that is true or false.
    pub(super) fn flag(&self, wanted: &str) -> Option<bool> {
        match self.arena[self.item(wanted)?] {
            Value::Bool(value) => Some(value),
            _ => None,
        }
    }

    /// The value of a key of its dict.
    fn item(&self, wanted: &str) -> Option<Ref> {
        let Value::Dict(items) = &self.arena[self.result] else { return None };
        let is_wanted = |key: Ref| matches!(&self.arena[key], Value::Str(key) if **key == *wanted);
        items.iter().find(|(key, _)| is_wanted(*key)).map(|&(_, value)| value)
    }
}

fn check_length(name: &str) -> Result<(), String> {
    match name.len() {
        ..=MAX_NAME => Ok(()),
        length => Err(format!("has a name of {length} bytes, the limit is {MAX_NAME}")),
    }
}

/// The stack machine. Values are never copied: stack and memo hold indices into the arena.
struct Machine<'a> {
    program: &'a [u8],
    at: usize,
    arena: Vec<Value>,
    stack: Vec<Ref>,
    memo: HashMap<u64, Ref>,
}

impl Machine<'_> {
    fn run(&mut self) -> Result<Ref, String> {
        loop {
            let opcode = self.byte()?;
            match opcode {
                // PROTO and FRAME have no effect.
                0x80 => drop(self.bytes(1)?),
                0x95 => drop(self.bytes(8)?),
                b'.' => return self.pop(),
                b'(' => self.push(Value::Mark),
                b'N' => self.push(Value::None),
                0x88 | 0x89 => self.push(Value::Bool(opcode == 0x88)),
                b'K' => {
                    let value = self.byte()?.into();
                    self.push(Value::Int(value));
                }
                b'M' => {
                    let value = i64::from(u16::from_le_bytes(self.array()?));
                    self.push(Value::Int(value));
                }
                b'J' => {
                    let value = i64::from(i32::from_le_bytes(self.array()?));
                    self.push(Value::Int(value));
                }
                b'G' => {
                    self.bytes(8)?;
                    self.push(Value::Float);
                }
                0x8a => {
                    let value = self.long()?;
                    self.push(value);
                }
                // SHORT_BINUNICODE, and the strings of Python 2.
                0x8c | b'U' => {
                    let length = self.byte()?.into();
                    self.string(length)?;
                }
                b'X' | b'T' => {
                    let length = u32::from_le_bytes(self.array()?).into();
                    self.string(length)?;
                }
                0x8d => {
                    let length = u64::from_le_bytes(self.array()?);
                    self.string(length)?;
                }
                b'c' => {
                    let (module, name) = (self.line()?, self.line()?);
                    self.global(&module, &name)?;
                }
                0x93 => {
                    let (name, module) = (self.pop_string()?, self.pop_string()?);
                    self.global(&module, &name)?;
                }
                b'q' => {
                    let key = self.byte()?.into();
                    self.put_memo(key)?;
                }
                b'r' => {
                    let key = u32::from_le_bytes(self.array()?).into();
                    self.put_memo(key)?;
                }
                0x94 => self.put_memo(self.memo.len() as u64)?,
                b'h' => {
                    let key = self.byte()?.into();
                    self.get_memo(key)?;
                }
                b'j' => {
                    let key = u32::from_le_bytes(self.array()?).into();
                    self.get_memo(key)?;
                }
                b')' => self.push(Value::Tuple(Vec::new())),
                b']' => self.push(Value::List(Vec::new())),
                b'}' => self.push(Value::Dict(Vec::new())),
                b't' => {
                    let items = self.pop_to_mark()?;
                    self.push(Value::Tuple(items));
                }
                0x85..=0x87 => {
                    let count = usize::from(opcode - 0x84);
                    let from = self.stack.len().checked_sub(count).ok_or(UNDERFLOW)?;
                    let items = self.stack.split_off(from);
                    self.push(Value::Tuple(items));
                }
                b'a' => {
                    let item = self.pop()?;
                    self.append(vec![item])?;
                }
                b'e' => {
                    let items = self.pop_to_mark()?;
                    self.append(items)?;
                }
                b's' => {
                    let (value, key) = (self.pop()?, self.pop()?);
                    self.set(vec![key, value])?;
                }
                b'u' => {
                    let items = self.pop_to_mark()?;
                    self.set(items)?;
                }
                b'Q' => self.persistent()?,
                b'R' => self.reduce()?,
                // BUILD sets an OrderedDict's attributes (`_metadata`), which are not weights.
                b'b' => drop(self.pop()?),
                other => {
                    return Err(format!(
                        "opcode {:?} (0x{other:02x}) is not supported: no tensor needs it",
                        char::from(other)
                    ));
                }
            }
        }
    }

    fn push(&mut self, value: Value) {
        self.arena.push(value);
        self.stack.push(self.arena.len() - 1);
    }

    fn pop(&mut self) -> Result<Ref, String> {
        self.stack.pop().ok_or_else(|| UNDERFLOW.to_owned())
    }

    fn pop_to_mark(&mut self) -> Result<Vec<Ref>, String> {
        let mark = self.stack.iter().rposition(|&value| matches!(self.arena[value], Value::Mark));
        let items = self.stack.split_off(mark.ok_or("no mark on the stack")? + 1);
        self.stack.pop();
        Ok(items)
    }

    fn pop_string(&mut self) -> Result<Rc<str>, String> {
        let value = self.pop()?;
        match &self.arena[value] {
            Value::Str(string) => Ok(Rc::clone(string)),
            _ => Err("expected a string".to_owned()),
        }
    }

    fn byte(&mut self) -> Result<u8, String> {
        Ok(self.bytes(1)?[0])
    }

    fn bytes(&mut self, count: u64) -> Result<&[u8], String> {
        let rest = &self.program[self.at..];
        let count = usize::try_from(count).ok().filter(|&n| n <= rest.len());
        let count = count.ok_or_else(|| "the program is truncated".to_owned())?;
        self.at += count;
        Ok(&rest[..count])
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], String> {
        Ok(self.bytes(N as u64)?.try_into().expect("`bytes` returns N bytes"))
    }

    fn string(&mut self, length: u64) -> Result<(), String> {
        let string = std::str::from_utf8(self.bytes(length)?).map_err(|e| e.to_string())?.into();
        self.push(Value::Str(string));
        Ok(())
    }

    fn line(&mut self) -> Result<String, String> {
        let rest = &self.program[self.at..];
        let end = rest.iter().position(|&b| b == b'\n').ok_or("a name without a newline")?;
        let line = String::from_utf8_lossy(&rest[..end]).into_owned();
        self.at += end + 1;
        Ok(line)
    }

    /// LONG1: little-endian two's complement of up to 8 bytes, or [`MAGIC`].
    fn long(&mut self) -> Result<Value, String> {
        let length = self.byte()?;
        let bytes = self.bytes(length.into())?;
        if bytes == MAGIC {
            return Ok(Value::Magic);
        }
        if bytes.len() > 8 {
            return Err(format!("integers of {} bytes are not supported", bytes.len()));
        }
        let negative = bytes.last().is_some_and(|b| b & 0x80 != 0);
        let mut wide = [if negative { 0xff } else { 0 }; 8];
        wide[..bytes.len()].copy_from_slice(bytes);
        Ok(Value::Int(i64::from_le_bytes(wide)))
    }

    fn global(&mut self, module: &str, name: &str) -> Result<(), String> {
        let known = GLOBALS.iter().find(|(m, n, _)| *m == module && *n == name);
        let &(_, _, global) = known.ok_or_else(|| {
            format!(
                "refers to {module}.{name}, which no tensor needs: rejected without executing anything; {WEIGHTS_ONLY}"
            )
        })?;
        self.push(Value::Global(global));
        Ok(())
    }

    fn put_memo(&mut self, key: u64) -> Result<(), String> {
        let &top = self.stack.last().ok_or(UNDERFLOW)?;
        self.memo.insert(key, top);
        Ok(())
    }

    fn get_memo(&mut self, key: u64) -> Result<(), String> {
        let &value = self.memo.get(&key).ok_or_else(|| format!("no memo entry {key}"))?;
        self.stack.push(value);
        Ok(())
    }

    fn append(&mut self, mut items: Vec<Ref>) -> Result<(), String> {
        let &top = self.stack.last().ok_or(UNDERFLOW)?;
        match &mut self.arena[top] {
            Value::List(list) => list.append(&mut items),
            _ => return Err("append to a value that is not a list".to_owned()),
        }
        Ok(())
    }

    fn set(&mut self, items: Vec<Ref>) -> Result<(), String> {
        if !items.len().is_multiple_of(2) {
            return Err("a key without a value".to_owned());
        }
        let &top = self.stack.last().ok_or(UNDERFLOW)?;
        match &mut self.arena[top] {
            Value::Dict(dict) => dict.extend(items.chunks_exact(2).map(|pair| (pair[0], pair[1]))),
            _ => return Err("item assignment to a value that is not a dict".to_owned()),
        }
        Ok(())
    }

    /// BINPERSID: `('storage', class, key, device, elements)`; before PyTorch 1.6 followed by `None`, or by the part of another
    /// storage that it is, which was never written since 0.4.
    fn persistent(&mut self) -> Result<(), String> {
        const NOT_STORAGE: &str = "a persistent id that is not a storage";
        let value = self.pop()?;
        let Value::Tuple(items) = &self.arena[value] else { return Err(NOT_STORAGE.to_owned()) };
        let &[tag, class, key, _device, elements, ref view @ ..] = items.as_slice() else {
            return Err(NOT_STORAGE.to_owned());
        };
        if view.iter().any(|&view| !matches!(self.arena[view], Value::None)) {
            return Err("a storage that is a part of another one is not supported".to_owned());
        }
        let storage = match (&self.arena[tag], &self.arena[class], &self.arena[key]) {
            (Value::Str(tag), Value::Global(Global::Storage(kind)), Value::Str(key))
                if &**tag == "storage" =>
            {
                check_length(key)?;
                Storage { kind: *kind, key: Rc::clone(key), elements: self.size(elements)? }
            }
            _ => return Err(NOT_STORAGE.to_owned()),
        };
        self.push(Value::Storage(storage));
        Ok(())
    }

    /// REDUCE: evaluates a call of one of [`GLOBALS`].
    fn reduce(&mut self) -> Result<(), String> {
        let (arguments, function) = (self.pop()?, self.pop()?);
        let Value::Global(global) = self.arena[function] else {
            return Err("call of a value that is not a function".to_owned());
        };
        let Value::Tuple(arguments) = &self.arena[arguments] else {
            return Err("call without an argument tuple".to_owned());
        };
        match (global, arguments.as_slice()) {
            (Global::OrderedDict, []) => self.push(Value::Dict(Vec::new())),
            (Global::RebuildTensor, &[storage, offset, shape, strides, ..]) => {
                let Value::Storage(storage) = &self.arena[storage] else {
                    return Err("a tensor without a storage".to_owned());
                };
                let view = TensorView {
                    storage: storage.clone(),
                    offset: self.size(offset)?,
                    shape: self.sizes(shape)?,
                    strides: self.sizes(strides)?,
                };
                self.push(Value::Tensor(Rc::new(view)));
            }
            // A parameter is its tensor.
            (Global::RebuildParameter, &[tensor, ..]) => self.stack.push(tensor),
            _ => return Err(format!("call of {global:?} with {} arguments", arguments.len())),
        }
        Ok(())
    }

    fn size(&self, value: Ref) -> Result<u64, String> {
        match self.arena[value] {
            Value::Int(size) => {
                u64::try_from(size).map_err(|_| format!("expected a size, not {size}"))
            }
            _ => Err("expected a size".to_owned()),
        }
    }

    fn sizes(&self, value: Ref) -> Result<Vec<u64>, String> {
        match &self.arena[value] {
            Value::Tuple(items) if items.len() <= MAX_DIMENSIONS => {
                items.iter().map(|&item| self.size(item)).collect()
            }
            _ => Err(format!("expected a shape of at most {MAX_DIMENSIONS} dimensions")),
        }
    }
}

const UNDERFLOW: &str = "the stack is empty";

/// More than any weight has; libtorch allows 64.
const MAX_DIMENSIONS: usize = 8;
