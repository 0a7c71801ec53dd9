//! Values of the file: each is read with its place, and a wrong one is kept as the reason why it is wrong.
//!
//! Reading a value never fails, so that one pass finds every fault of a file.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use toml::Spanned;

/// A type that a value of the file has. A kind of value that it doesn't name is refused.
pub trait Value: Sized {
    /// A right value, as it stands in the file.
    const EXAMPLE: &'static str;

    /// Description of all right values, after the word "expected".
    fn expected() -> String {
        format!("a string such as `{}`", Self::EXAMPLE)
    }

    fn from_text(_text: &str) -> Result<Self, String> {
        Err(found::<Self>("a string"))
    }

    fn from_integer(_number: i128) -> Result<Self, String> {
        Err(found::<Self>("a whole number"))
    }

    fn from_boolean(_value: bool) -> Result<Self, String> {
        Err(found::<Self>("true or false"))
    }

    fn from_list<'de, A: SeqAccess<'de>>(_items: A) -> Result<Result<Self, String>, A::Error> {
        Ok(Err(found::<Self>("a list")))
    }

    fn from_table<'de, A: MapAccess<'de>>(_entries: A) -> Result<Result<Self, String>, A::Error> {
        Ok(Err(found::<Self>("a table")))
    }
}

// Never the value itself: it may be a secret.
fn found<T: Value>(kind: &str) -> String {
    format!("expected {}, found {kind}", T::expected())
}

/// A value of the file with its place.
pub type Field<T> = Spanned<Read<T>>;

/// A value; a wrong one is the reason why.
#[derive(Debug)]
pub struct Read<T>(pub Result<T, String>);

impl<'de, T: Value> Deserialize<'de> for Read<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValueVisitor(PhantomData)).map(Self)
    }
}

struct ValueVisitor<T>(PhantomData<T>);

impl<'de, T: Value> Visitor<'de> for ValueVisitor<T> {
    type Value = Result<T, String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&T::expected())
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(T::from_text(text))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Self::Value, E> {
        Ok(T::from_integer(number.into()))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Self::Value, E> {
        Ok(T::from_integer(number.into()))
    }

    fn visit_i128<E>(self, number: i128) -> Result<Self::Value, E> {
        Ok(T::from_integer(number))
    }

    fn visit_u128<E>(self, _number: u128) -> Result<Self::Value, E> {
        Ok(T::from_integer(i128::MAX))
    }

    fn visit_f64<E>(self, _number: f64) -> Result<Self::Value, E> {
        Ok(Err(found::<T>("a number with a fraction")))
    }

    fn visit_bool<E>(self, value: bool) -> Result<Self::Value, E> {
        Ok(T::from_boolean(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, items: A) -> Result<Self::Value, A::Error> {
        T::from_list(items)
    }

    fn visit_map<A: MapAccess<'de>>(self, entries: A) -> Result<Self::Value, A::Error> {
        T::from_table(entries)
    }
}

impl Value for String {
    const EXAMPLE: &'static str = r#""text""#;

    fn expected() -> String {
        "a string in quotes".to_owned()
    }

    fn from_text(text: &str) -> Result<Self, String> {
        // It may be printed: a terminal would obey it.
        match text.chars().find(|c| c.is_control() && !matches!(c, '\t' | '\n' | '\r')) {
            Some(control) => Err(format!("it holds the control character U+{:04X}; leave it out", u32::from(control))),
            None => Ok(text.to_owned()),
        }
    }
}

impl Value for bool {
    const EXAMPLE: &'static str = "true";

    fn expected() -> String {
        "`true` or `false`, without quotes".to_owned()
    }

    fn from_boolean(value: bool) -> Result<Self, String> {
        Ok(value)
    }
}

/// A whole number within bounds, both included.
#[derive(Debug)]
pub struct Whole<const LEAST: u32, const MOST: u32>(pub u32);

impl<const LEAST: u32, const MOST: u32> Value for Whole<LEAST, MOST> {
    const EXAMPLE: &'static str = "1";

    fn expected() -> String {
        format!("a whole number from {LEAST} to {MOST}, without quotes")
    }

    fn from_integer(number: i128) -> Result<Self, String> {
        let read = u32::try_from(number).ok().filter(|number| (LEAST..=MOST).contains(number));
        read.map(Self).ok_or_else(|| format!("expected a whole number from {LEAST} to {MOST}, found {number}"))
    }
}

/// A list; each item has its own place.
#[derive(Debug)]
pub struct List<T>(pub Vec<Field<T>>);

impl<T: Value> Value for List<T> {
    const EXAMPLE: &'static str = "[]";

    fn expected() -> String {
        format!("a list in brackets such as `[{}]`", T::EXAMPLE)
    }

    fn from_list<'de, A: SeqAccess<'de>>(mut items: A) -> Result<Result<Self, String>, A::Error> {
        let mut read = Vec::new();
        while let Some(item) = items.next_element()? {
            read.push(item);
        }
        Ok(Ok(Self(read)))
    }
}

/// Reads a table into the struct that describes its keys.
pub fn read_table<'de, T: Deserialize<'de>, A: MapAccess<'de>>(entries: A) -> Result<Result<T, String>, A::Error> {
    T::deserialize(serde::de::value::MapAccessDeserializer::new(entries)).map(Ok)
}

/// The keys that a struct reads, as serde knows them.
pub fn keys_of<T: for<'de> Deserialize<'de>>() -> &'static [&'static str] {
    let mut keys: &[&str] = &[];
    // Always an error: there is nothing to read.
    let _ = T::deserialize(KeysOf(&mut keys));
    keys
}

struct KeysOf<'k>(&'k mut &'static [&'static str]);

impl<'de> Deserializer<'de> for KeysOf<'_> {
    type Error = serde::de::value::Error;

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        _visitor: V,
    ) -> Result<V::Value, Self::Error> {
        *self.0 = fields;
        Err(serde::de::Error::custom("only the keys are asked for"))
    }

    fn deserialize_any<V: Visitor<'de>>(self, _visitor: V) -> Result<V::Value, Self::Error> {
        Err(serde::de::Error::custom("not a struct"))
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}
