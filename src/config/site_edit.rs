//! Changes of a site's file by a command: the text stays as its author wrote it, but for what changes.

use std::str::FromStr;

use toml_edit::{Array, DocumentMut, Item, Value};

/// A change of one key: `key=value`, `key+=item`, `key-=item`, or `key=` for the default.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assignment {
    key: String,
    operation: Operation,
    value: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operation {
    Set,
    Add,
    Remove,
}

impl FromStr for Assignment {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected = "expected `KEY=VALUE`, `KEY+=ITEM`, `KEY-=ITEM`, or `KEY=` for the default";
        let (before, value) = text.split_once('=').ok_or_else(|| format!("`{text}` has no `=`; {expected}"))?;
        let (key, operation) = match (before.strip_suffix('+'), before.strip_suffix('-')) {
            (Some(key), _) => (key, Operation::Add),
            (None, Some(key)) => (key, Operation::Remove),
            (None, None) => (before, Operation::Set),
        };
        let (key, value) = (key.trim(), value.trim());
        let is_key =
            |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
        if !key.split('.').all(is_key) || key.matches('.').count() > 1 {
            return Err(format!("`{key}` is no key; {expected}"));
        }
        if operation != Operation::Set && value.is_empty() {
            return Err(format!("`{text}` names no item; {expected}"));
        }
        Ok(Self { key: key.to_owned(), operation, value: value.to_owned() })
    }
}

/// The text of a site's file with these changes.
pub fn edited(text: &str, assignments: &[Assignment]) -> Result<String, String> {
    let mut document: DocumentMut = text.parse().map_err(|error| format!("it can't be read: {error}"))?;
    for assignment in assignments {
        assignment.apply(&mut document)?;
    }
    Ok(document.to_string())
}

impl Assignment {
    fn apply(&self, document: &mut DocumentMut) -> Result<(), String> {
        let (table, key) = match self.key.split_once('.') {
            Some((outer, inner)) => {
                let table = document.entry(outer).or_insert(toml_edit::table());
                (table.as_table_like_mut().ok_or_else(|| format!("`{outer}` is no table"))?, inner)
            }
            None => (document.as_table_mut() as &mut dyn toml_edit::TableLike, self.key.as_str()),
        };
        if self.operation == Operation::Set {
            if self.value.is_empty() {
                table.remove(key);
                return Ok(());
            }
            let mut value = value_of(&self.value);
            match table.get_mut(key) {
                Some(Item::Value(old)) => {
                    // A comment behind the value stays.
                    *value.decor_mut() = old.decor().clone();
                    *old = value;
                }
                Some(item) => *item = Item::Value(value),
                None => drop(table.insert(key, Item::Value(value))),
            }
            return Ok(());
        }
        let none = Item::Value(Value::Array(Array::new()));
        let item = table.entry(key).or_insert(none);
        let Some(list) = item.as_array_mut() else { return Err(format!("`{}` is no list", self.key)) };
        let named = text_of(&value_of(&self.value));
        let place = list.iter().position(|item| text_of(item) == named);
        match (self.operation, place) {
            (Operation::Add, Some(_)) => Err(format!("`{}` has `{}` already", self.key, self.value)),
            (Operation::Add, None) => {
                list.push(value_of(&self.value));
                Ok(())
            }
            (_, Some(place)) => {
                list.remove(place);
                Ok(())
            }
            (_, None) => Err(format!("`{}` has no `{}`", self.key, self.value)),
        }
    }
}

/// A number, `true`, a list and a quoted text as TOML has them; any other text is a string.
fn value_of(text: &str) -> Value {
    let mut value = text.parse::<Value>().unwrap_or_else(|_| Value::from(text));
    // Placed as its neighbours are.
    value.decor_mut().clear();
    value
}

fn text_of(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string().trim().to_owned(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changed(text: &str, assignments: &[&str]) -> Result<String, String> {
        let assignments: Result<Vec<_>, _> = assignments.iter().map(|text| text.parse()).collect();
        edited(text, &assignments?)
    }

    #[test]
    fn a_change_leaves_comments_and_other_keys_as_they_are() {
        let text = "# Our portal\norigins = [\"https://a.vn\"] # with www soon\nname = 'A'\n";
        assert_eq!(
            changed(text, &["origins+=https://www.a.vn", "bots=crawlers", "page_cap=200"]).unwrap(),
            "# Our portal\norigins = [\"https://a.vn\", \"https://www.a.vn\"] # with www soon\nname = 'A'\n\
             bots = \"crawlers\"\npage_cap = 200\n"
        );
        assert_eq!(
            changed(text, &["name=Xã A", "origins-=https://a.vn"]).unwrap(),
            "# Our portal\norigins = [] # with www soon\nname = \"Xã A\"\n"
        );
        assert_eq!(changed(text, &["name="]).unwrap(), "# Our portal\norigins = [\"https://a.vn\"] # with www soon\n");
        assert_eq!(changed("", &["titles=false"]).unwrap(), "titles = false\n");
        assert_eq!(changed("", &["labels.month=Trong tháng"]).unwrap(), "[labels]\nmonth = \"Trong tháng\"\n");
        let inline = "labels = { title = \"T\" }\n";
        assert_eq!(changed(inline, &["labels.title="]).unwrap(), "labels = {}\n");
    }

    #[test]
    fn a_change_that_makes_no_sense_says_what_would_be_right() {
        for (change, said) in [
            ("origins", "has no `=`"),
            ("=x", "is no key"),
            ("a.b.c=x", "is no key"),
            ("Origins=x", "is no key"),
            ("origins+=", "names no item"),
            ("origins+=https://a.vn", "has `https://a.vn` already"),
            ("origins+=\"https://a.vn\"", "already"),
            ("origins-=https://b.vn", "has no `https://b.vn`"),
            ("name+=x", "is no list"),
        ] {
            let error = changed("origins = [\"https://a.vn\"]\nname = \"A\"\n", &[change]).unwrap_err();
            assert!(error.contains(said), "{change}: {error}");
        }
    }
}
