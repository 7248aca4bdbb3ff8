//! Learns the columns of JSON records from all of them. Not here: the values of the columns (`json_column`).

use std::collections::HashMap;

use crate::npm::json::{Cursor, JsonError, Kind};

use super::json_column::Column;

/// The most different members of the objects of one column, at any depth. A column with more is a map rather than a
/// structure, such as `dependencies` of many packages, and becomes JSON text.
const MOST_MEMBERS: usize = 200;

/// The deepest nesting of a structure or list. Values below it are JSON text.
const MOST_DEPTH: usize = 16;

/// The greatest whole number below which a double holds each whole number: 2^53.
const EXACT_IN_DOUBLE: u64 = 1 << 53;

/// The longest whole number of a decimal, in digits.
const DECIMAL_DIGITS: usize = 38;

/// The values of one column or member so far.
#[derive(Debug, Clone, Default)]
pub(super) enum Shape {
    /// No value, or nulls only.
    #[default]
    Nothing,
    Boolean,
    /// Whole numbers of 64 bits; `is_wide` if a double cannot hold one of them.
    Integer {
        is_wide: bool,
    },
    /// Numbers of any kind that doubles hold.
    Double,
    /// Whole numbers beyond 64 bits.
    Decimal,
    Text,
    /// Texts, numbers and booleans that have no common type.
    Mixed,
    List(Box<Shape>),
    Object(Members),
    /// Any values, at least one of them an object or a list.
    Json,
}

/// The members of objects, in the order of their first appearance.
#[derive(Debug, Clone, Default)]
pub(super) struct Members {
    names: Vec<String>,
    shapes: Vec<Shape>,
    places: HashMap<String, usize>,
}

impl Members {
    /// Returns the place of a member, which is added if it is new. `guess` is where it is if objects have the same order.
    fn place_of(&mut self, name: &str, guess: usize) -> (usize, bool) {
        if self.names.get(guess).is_some_and(|known| known == name) {
            return (guess, false);
        }
        if let Some(place) = self.places.get(name) {
            return (*place, false);
        }
        let place = self.names.len();
        self.names.push(name.to_owned());
        self.shapes.push(Shape::Nothing);
        self.places.insert(name.to_owned(), place);
        (place, true)
    }
}

/// The columns of all records.
#[derive(Debug, Default)]
pub(super) struct Records {
    members: Members,
    /// The number of members at any depth of each column.
    member_counts: Vec<usize>,
}

/// The column of records that are no objects.
pub(super) const VALUE_COLUMN: &str = "value";

impl Records {
    /// Adds a record. One that is no object counts as an object with the member `value`.
    pub(super) fn add(&mut self, record: &str) -> Result<(), JsonError> {
        let mut cursor = Cursor::new(record);
        if cursor.peek_kind()? == Kind::Object {
            cursor.enter_object()?;
            let (mut first, mut guess) = (true, 0);
            while let Some(key) = cursor.next_key(&mut first)? {
                guess = self.add_value(&key.unescape().text, guess, &mut cursor)? + 1;
            }
        } else {
            self.add_value(VALUE_COLUMN, 0, &mut cursor)?;
        }
        cursor.finish()
    }

    fn add_value(&mut self, name: &str, guess: usize, cursor: &mut Cursor<'_>) -> Result<usize, JsonError> {
        let (place, is_new) = self.members.place_of(name, guess);
        if is_new {
            self.member_counts.push(0);
        }
        let (Some(shape), Some(count)) = (self.members.shapes.get_mut(place), self.member_counts.get_mut(place)) else {
            return Ok(place);
        };
        shape.add(cursor, 0, count)?;
        if *count > MOST_MEMBERS {
            *shape = Shape::Json;
            *count = 0;
        }
        Ok(place)
    }

    /// Returns how many columns there are.
    pub(super) fn count(&self) -> usize {
        self.members.names.len()
    }

    /// Returns the columns with their names.
    pub(super) fn columns(self) -> Vec<(String, Column)> {
        columns_of(self.members)
    }
}

impl Shape {
    /// Adds the value at `cursor`. Counts new members; adds none once there are too many.
    fn add(&mut self, cursor: &mut Cursor<'_>, depth: usize, members: &mut usize) -> Result<(), JsonError> {
        let kind = cursor.peek_kind()?;
        let is_leaf = depth >= MOST_DEPTH || *members > MOST_MEMBERS;
        match (kind, &mut *self) {
            (Kind::Null, _) | (Kind::Object | Kind::Array, Shape::Json) => drop(cursor.value()?),
            (Kind::Object, Shape::Nothing | Shape::Object(_)) if !is_leaf => {
                if matches!(self, Shape::Nothing) {
                    *self = Shape::Object(Members::default());
                }
                cursor.enter_object()?;
                let (mut first, mut guess) = (true, 0);
                while let Some(key) = cursor.next_key(&mut first)? {
                    let Shape::Object(known) = self else { break };
                    if *members > MOST_MEMBERS {
                        cursor.value()?;
                        continue;
                    }
                    let (place, is_new) = known.place_of(&key.unescape().text, guess);
                    *members += usize::from(is_new);
                    guess = place + 1;
                    match known.shapes.get_mut(place) {
                        Some(shape) => shape.add(cursor, depth + 1, members)?,
                        None => drop(cursor.value()?),
                    }
                }
            }
            (Kind::Array, Shape::Nothing | Shape::List(_)) if !is_leaf => {
                if matches!(self, Shape::Nothing) {
                    *self = Shape::List(Box::default());
                }
                cursor.enter_array()?;
                let mut first = true;
                while cursor.next_item(&mut first)? {
                    let Shape::List(item) = self else { break };
                    item.add(cursor, depth + 1, members)?;
                }
            }
            (Kind::Object | Kind::Array, _) => {
                cursor.value()?;
                *self = Shape::Json;
            }
            (kind, _) => {
                let raw = cursor.value()?;
                let other = match kind {
                    Kind::Boolean => Shape::Boolean,
                    Kind::Number => number(raw),
                    _ => Shape::Text,
                };
                self.add_scalar(other);
            }
        }
        Ok(())
    }

    fn add_scalar(&mut self, other: Shape) {
        use Shape::{Boolean, Decimal, Double, Integer, Json, List, Mixed, Nothing, Object, Text};
        *self = match (std::mem::take(self), other) {
            (Nothing, other) => other,
            (Boolean, Boolean) => Boolean,
            (Text, Text) => Text,
            (Double, Double | Integer { is_wide: false }) | (Integer { is_wide: false }, Double) => Double,
            (Integer { is_wide: one }, Integer { is_wide: other }) => Integer { is_wide: one || other },
            (Decimal, Decimal | Integer { .. }) | (Integer { .. }, Decimal) => Decimal,
            (Json | List(_) | Object(_), _) => Json,
            _ => Mixed,
        };
    }

    /// Returns the column for values of this shape.
    fn column(self) -> Column {
        match self {
            Shape::Boolean => Column::Boolean,
            Shape::Integer { .. } => Column::Integer,
            Shape::Double => Column::Double,
            Shape::Decimal => Column::decimal(),
            Shape::Nothing | Shape::Text | Shape::Mixed => Column::Text,
            Shape::List(item) => Column::List(Box::new(item.column())),
            Shape::Object(members) if members.names.is_empty() => Column::Json,
            Shape::Object(members) => Column::Struct(columns_of(members)),
            Shape::Json => Column::Json,
        }
    }
}

fn columns_of(members: Members) -> Vec<(String, Column)> {
    members.names.into_iter().zip(members.shapes).map(|(name, shape)| (name, shape.column())).collect()
}

/// Returns the shape of a number. One that no type holds as it is written counts as mixed, and stays as it is.
fn number(raw: &str) -> Shape {
    let digits = raw.strip_prefix('-').unwrap_or(raw);
    let is_whole = digits.bytes().all(|byte| byte.is_ascii_digit()) && raw != "-0";
    match (is_whole, raw.parse::<i64>(), raw.parse::<f64>()) {
        (true, Ok(number), _) => Shape::Integer { is_wide: number.unsigned_abs() > EXACT_IN_DOUBLE },
        (true, Err(_), _) if digits.len() <= DECIMAL_DIGITS => Shape::Decimal,
        (false, _, Ok(number)) if number.is_finite() => Shape::Double,
        _ => Shape::Mixed,
    }
}
