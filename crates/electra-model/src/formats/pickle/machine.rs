//! The stack machine of pickles, without its dangerous half.

use super::window::{Described, Storage};
use std::{collections::HashMap, rc::Rc};
use tch::Kind;

/// Longest program in bytes; that of a thousand tensors has 200 thousand. A value takes some hundred bytes at most,
/// however short its opcode, so this bounds what the machine holds.
pub(super) const MAX_PROGRAM: usize = 1 << 22;

/// Longest name of a tensor or a storage, in bytes: a long one that is repeated would be hashed again each time.
const MAX_NAME: usize = 512;

type Ref = usize;

/// What the machine can hold.
#[derive(Debug)]
enum Value {
    Mark,
    None,
    Bool,
    Int(i64),
    Text(Rc<str>),
    Tuple(Vec<Ref>),
    List(Vec<Ref>),
    Dict(Vec<(Ref, Ref)>),
    Global(Global),
    Storage(Storage),
    Tensor(Rc<Described>),
}

/// The names that a state dict needs.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Global {
    OrderedDict,
    RebuildTensor,
    RebuildParameter,
    Storage(Kind),
}

const GLOBALS: [(&str, &str, Global); 11] = [
    ("collections", "OrderedDict", Global::OrderedDict),
    ("torch._utils", "_rebuild_tensor_v2", Global::RebuildTensor),
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

/// Tensors by name, in the program's order.
type State = Vec<(Rc<str>, Rc<Described>)>;

/// Runs the program and takes the state dict that it leaves. What cannot be a weight at the top level
/// (numbers, texts, lists) is refused as well: a training checkpoint is not a state dict.
pub(super) fn state_dict(program: &[u8]) -> Result<State, String> {
    if program.len() > MAX_PROGRAM {
        return Err(format!("has {} bytes, at most {MAX_PROGRAM} are read", program.len()));
    }
    let mut machine =
        Machine { program, at: 0, arena: Vec::new(), stack: Vec::new(), memo: HashMap::new() };
    let result = machine.run().map_err(|e| format!("byte {}: {e}", machine.at))?;
    let Value::Dict(items) = machine.take(result) else {
        return Err("is not a dictionary of tensors".to_owned());
    };
    // Later items of the same name win, as in a dictionary; one tensor may have two names.
    let mut tensors = State::new();
    let mut places: HashMap<Rc<str>, usize> = HashMap::new();
    for (key, value) in items {
        let Value::Text(name) = &machine.arena[key] else {
            return Err("has a key that is not a text".to_owned());
        };
        short(name)?;
        let Value::Tensor(described) = &machine.arena[value] else {
            return Err(format!("{name:?} is not a plain tensor"));
        };
        match places.get(name) {
            Some(&place) => tensors[place].1 = Rc::clone(described),
            None => {
                places.insert(Rc::clone(name), tensors.len());
                tensors.push((Rc::clone(name), Rc::clone(described)));
            }
        }
    }
    Ok(tensors)
}

fn short(name: &str) -> Result<(), String> {
    match name.len() {
        ..=MAX_NAME => Ok(()),
        more => Err(format!("has a name of {more} bytes, at most {MAX_NAME} are read")),
    }
}

/// The stack machine. Values are never copied: stack and memo hold places in the arena.
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
                // PROTO, FRAME: nothing to do.
                0x80 => drop(self.bytes(1)?),
                0x95 => drop(self.bytes(8)?),
                b'.' => return self.pop(),
                b'(' => self.push(Value::Mark),
                b'N' => self.push(Value::None),
                0x88 | 0x89 => self.push(Value::Bool),
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
                0x8a => {
                    let value = self.long()?;
                    self.push(Value::Int(value));
                }
                0x8c => {
                    let length = self.byte()?.into();
                    self.text(length)?;
                }
                b'X' => {
                    let length = u32::from_le_bytes(self.array()?).into();
                    self.text(length)?;
                }
                0x8d => {
                    let length = u64::from_le_bytes(self.array()?);
                    self.text(length)?;
                }
                b'c' => {
                    let (module, name) = (self.line()?, self.line()?);
                    self.global(&module, &name)?;
                }
                0x93 => {
                    let (name, module) = (self.pop_text()?, self.pop_text()?);
                    self.global(&module, &name)?;
                }
                b'q' => {
                    let place = self.byte()?.into();
                    self.remember(place)?;
                }
                b'r' => {
                    let place = u32::from_le_bytes(self.array()?).into();
                    self.remember(place)?;
                }
                0x94 => self.remember(self.memo.len() as u64)?,
                b'h' => {
                    let place = self.byte()?.into();
                    self.recall(place)?;
                }
                b'j' => {
                    let place = u32::from_le_bytes(self.array()?).into();
                    self.recall(place)?;
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
                // BUILD: an OrderedDict's attributes (`_metadata`), which are no weights.
                b'b' => drop(self.pop()?),
                other => {
                    return Err(format!(
                        "opcode {:?} (0x{other:02x}) is not among those that tensors need",
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

    fn take(&mut self, place: Ref) -> Value {
        std::mem::replace(&mut self.arena[place], Value::None)
    }

    fn pop_to_mark(&mut self) -> Result<Vec<Ref>, String> {
        let mark = self.stack.iter().rposition(|&place| matches!(self.arena[place], Value::Mark));
        let items = self.stack.split_off(mark.ok_or("no mark on the stack")? + 1);
        self.stack.pop();
        Ok(items)
    }

    fn pop_text(&mut self) -> Result<Rc<str>, String> {
        let place = self.pop()?;
        match &self.arena[place] {
            Value::Text(text) => Ok(Rc::clone(text)),
            _ => Err("a text was expected".to_owned()),
        }
    }

    fn byte(&mut self) -> Result<u8, String> {
        Ok(self.bytes(1)?[0])
    }

    fn bytes(&mut self, count: u64) -> Result<&[u8], String> {
        let rest = &self.program[self.at..];
        let count = usize::try_from(count).ok().filter(|&n| n <= rest.len());
        let count = count.ok_or_else(|| "the program ends in the middle".to_owned())?;
        self.at += count;
        Ok(&rest[..count])
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], String> {
        Ok(self.bytes(N as u64)?.try_into().expect("as many bytes as were asked for"))
    }

    fn text(&mut self, length: u64) -> Result<(), String> {
        let text = std::str::from_utf8(self.bytes(length)?).map_err(|e| e.to_string())?.into();
        self.push(Value::Text(text));
        Ok(())
    }

    fn line(&mut self) -> Result<String, String> {
        let rest = &self.program[self.at..];
        let end = rest.iter().position(|&b| b == b'\n').ok_or("a name without an end")?;
        let line = String::from_utf8_lossy(&rest[..end]).into_owned();
        self.at += end + 1;
        Ok(line)
    }

    /// LONG1: little-endian two's complement of up to 8 bytes.
    fn long(&mut self) -> Result<i64, String> {
        let length = self.byte()?;
        let bytes = self.bytes(length.into())?;
        if bytes.len() > 8 {
            return Err(format!("an integer of {} bytes", bytes.len()));
        }
        let negative = bytes.last().is_some_and(|b| b & 0x80 != 0);
        let mut wide = [if negative { 0xff } else { 0 }; 8];
        wide[..bytes.len()].copy_from_slice(bytes);
        Ok(i64::from_le_bytes(wide))
    }

    fn global(&mut self, module: &str, name: &str) -> Result<(), String> {
        let known = GLOBALS.iter().find(|(m, n, _)| *m == module && *n == name);
        let &(_, _, global) = known.ok_or_else(|| {
            format!(
                "names {module}.{name}, which no tensor needs: refused, and nothing was executed"
            )
        })?;
        self.push(Value::Global(global));
        Ok(())
    }

    fn remember(&mut self, place: u64) -> Result<(), String> {
        let &top = self.stack.last().ok_or(UNDERFLOW)?;
        self.memo.insert(place, top);
        Ok(())
    }

    fn recall(&mut self, place: u64) -> Result<(), String> {
        let &value =
            self.memo.get(&place).ok_or_else(|| format!("nothing is remembered at {place}"))?;
        self.stack.push(value);
        Ok(())
    }

    fn append(&mut self, mut items: Vec<Ref>) -> Result<(), String> {
        let &top = self.stack.last().ok_or(UNDERFLOW)?;
        match &mut self.arena[top] {
            Value::List(list) => list.append(&mut items),
            _ => return Err("appends to what is no list".to_owned()),
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
            _ => return Err("sets an item of what is no dictionary".to_owned()),
        }
        Ok(())
    }

    /// BINPERSID: `('storage', class, key, device, elements)`.
    fn persistent(&mut self) -> Result<(), String> {
        const SHAPE: &str = "a persistent id that is no storage";
        let place = self.pop()?;
        let Value::Tuple(items) = &self.arena[place] else { return Err(SHAPE.to_owned()) };
        let &[tag, class, key, _device, elements] = items.as_slice() else {
            return Err(SHAPE.to_owned());
        };
        let storage = match (&self.arena[tag], &self.arena[class], &self.arena[key]) {
            (Value::Text(tag), Value::Global(Global::Storage(kind)), Value::Text(key))
                if &**tag == "storage" =>
            {
                short(key)?;
                Storage { kind: *kind, key: Rc::clone(key), elements: self.size(elements)? }
            }
            _ => return Err(SHAPE.to_owned()),
        };
        self.push(Value::Storage(storage));
        Ok(())
    }

    /// REDUCE: "calls" one of the known names; nothing else can be on the stack in its place.
    fn reduce(&mut self) -> Result<(), String> {
        let (arguments, function) = (self.pop()?, self.pop()?);
        let Value::Global(global) = self.arena[function] else {
            return Err("calls what is no function".to_owned());
        };
        let Value::Tuple(arguments) = &self.arena[arguments] else {
            return Err("calls without a tuple of arguments".to_owned());
        };
        match (global, arguments.as_slice()) {
            (Global::OrderedDict, []) => self.push(Value::Dict(Vec::new())),
            (Global::RebuildTensor, &[storage, offset, shape, strides, ..]) => {
                let Value::Storage(storage) = &self.arena[storage] else {
                    return Err("a tensor without a storage".to_owned());
                };
                let described = Described {
                    storage: storage.clone(),
                    offset: self.size(offset)?,
                    shape: self.sizes(shape)?,
                    strides: self.sizes(strides)?,
                };
                self.push(Value::Tensor(Rc::new(described)));
            }
            // A parameter is its tensor.
            (Global::RebuildParameter, &[tensor, ..]) => self.stack.push(tensor),
            _ => return Err(format!("calls {global:?} with {} arguments", arguments.len())),
        }
        Ok(())
    }

    fn size(&self, place: Ref) -> Result<u64, String> {
        match self.arena[place] {
            Value::Int(value) => {
                u64::try_from(value).map_err(|_| format!("{value} where a size was expected"))
            }
            _ => Err("a size that is no integer".to_owned()),
        }
    }

    fn sizes(&self, place: Ref) -> Result<Vec<u64>, String> {
        match &self.arena[place] {
            Value::Tuple(items) if items.len() <= MAX_DIMENSIONS => {
                items.iter().map(|&item| self.size(item)).collect()
            }
            _ => Err(format!("a shape that is no tuple of at most {MAX_DIMENSIONS} sizes")),
        }
    }
}

const UNDERFLOW: &str = "takes from an empty stack";

/// More than any weight has; libtorch itself allows 64.
const MAX_DIMENSIONS: usize = 8;
