//! Weights of classes in the loss.

use electra_files::nearest;
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{Error as _, MapAccess, Visitor, value::MapAccessDeserializer},
};
use std::{collections::BTreeMap, fmt};

/// The factor of an example's loss, by its class: `class_weights` of a classification.
///
/// In TOML `"none"`, `"balanced"`, or a table of all classes such as `{ no = 1.0, yes = 4.0 }`.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum ClassWeights {
    /// 1 for every class.
    #[default]
    None,
    /// `n / (k n_c)` for a class with `n_c` of `n` training examples, where `k` is the number of classes in the training
    /// set: every class has the same total weight, and the mean weight of an example is 1.
    ///
    /// Source: scikit-learn's `compute_class_weight("balanced")`.
    Balanced,
    /// A weight for each class.
    Given(BTreeMap<String, f64>),
}

impl ClassWeights {
    pub(crate) fn is_none(&self) -> bool {
        *self == Self::None
    }

    /// The weights of `classes`, of which the training set has `counts` examples; `None` if all are 1.
    ///
    /// # Errors
    /// A message about a class without a weight, an unknown class, or a weight that is not above 0 and finite.
    pub fn of(
        &self,
        classes: &[String],
        counts: &[usize],
    ) -> std::result::Result<Option<Vec<f64>>, String> {
        match self {
            Self::None => Ok(None),
            Self::Balanced => {
                let examples: usize = counts.iter().sum();
                let present = counts.iter().filter(|&&count| count > 0).count();
                // A class without examples has no loss.
                let weight = |&count: &usize| match count {
                    0 => 1.0,
                    count => examples as f64 / (present * count) as f64,
                };
                Ok(Some(counts.iter().map(weight).collect()))
            }
            Self::Given(weights) => {
                if let Some(unknown) = weights.keys().find(|name| !classes.contains(name)) {
                    let known = nearest(unknown, classes.iter().map(String::as_str));
                    return Err(format!("there is no class {unknown:?}{known}"));
                }
                let weight = |class: &String| match weights.get(class) {
                    None => Err(format!("there is no weight for the class {class:?}")),
                    Some(weight) if *weight > 0.0 && weight.is_finite() => Ok(*weight),
                    Some(weight) => {
                        Err(format!("{class:?} = {weight}: must be above 0 and finite"))
                    }
                };
                classes.iter().map(weight).collect::<std::result::Result<_, _>>().map(Some)
            }
        }
    }
}

const NONE: &str = "none";
const BALANCED: &str = "balanced";

impl fmt::Display for ClassWeights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str(NONE),
            Self::Balanced => f.write_str(BALANCED),
            Self::Given(weights) => write!(f, "{weights:?}"),
        }
    }
}

impl Serialize for ClassWeights {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        match self {
            Self::Given(weights) => weights.serialize(serializer),
            _ => serializer.collect_str(self),
        }
    }
}

impl<'de> Deserialize<'de> for ClassWeights {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        deserializer.deserialize_any(WeightsVisitor)
    }
}

struct WeightsVisitor;

impl<'de> Visitor<'de> for WeightsVisitor {
    type Value = ClassWeights;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "\"none\", \"balanced\", or a weight for each class as in { no = 1.0, yes = 4.0 }",
        )
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> std::result::Result<ClassWeights, E> {
        match text {
            NONE => Ok(ClassWeights::None),
            BALANCED => Ok(ClassWeights::Balanced),
            other => Err(E::invalid_value(serde::de::Unexpected::Str(other), &self)),
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> std::result::Result<ClassWeights, A::Error> {
        let weights = BTreeMap::deserialize(MapAccessDeserializer::new(map))?;
        match weights.is_empty() {
            true => Err(A::Error::custom("must have a weight for each class")),
            false => Ok(ClassWeights::Given(weights)),
        }
    }
}
