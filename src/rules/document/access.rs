//! What serde walks through: the elements of a list, the entries of a mapping.

use serde::de::{self, DeserializeSeed, IntoDeserializer};

use super::{
    Key, Node,
    problem::did_you_mean,
    read::{Failure, Reader},
};

/// The elements of a list.
pub(super) struct Elements<'r, 'n, 's> {
    pub parent: &'r Reader<'n, 's>,
    pub rest: std::iter::Enumerate<std::slice::Iter<'n, Node>>,
}

impl<'n> de::SeqAccess<'n> for Elements<'_, 'n, '_> {
    type Error = Failure;

    fn next_element_seed<T: DeserializeSeed<'n>>(&mut self, seed: T) -> Result<Option<T::Value>, Failure> {
        let parent = self.parent;
        let Some((index, node)) = self.rest.find(|(_, node)| !parent.is_aside(node)) else { return Ok(None) };
        let reader = parent.below(node, &format!("[{index}]"));
        seed.deserialize(reader.clone()).map(Some).map_err(|failure| reader.set_aside(failure))
    }
}

/// The entries of a mapping; unknown fields of a struct are reported and passed over.
pub(super) struct Entries<'r, 'n, 's> {
    pub parent: &'r Reader<'n, 's>,
    pub fields: Option<&'static [&'static str]>,
    pub rest: std::slice::Iter<'n, (Key, Node)>,
    pub value: Option<(&'n str, &'n Node)>,
}

impl<'n> de::MapAccess<'n> for Entries<'_, 'n, '_> {
    type Error = Failure;

    fn next_key_seed<K: DeserializeSeed<'n>>(&mut self, seed: K) -> Result<Option<K::Value>, Failure> {
        for (key, node) in self.rest.by_ref() {
            let fields = self.fields.unwrap_or_default();
            if self.fields.is_some() && !fields.contains(&key.name.as_str()) {
                let message = format!("unknown field; {}", did_you_mean(&key.name, fields));
                self.parent.add(key.place, self.parent.below(node, &key.name).path, message);
            } else if !self.parent.is_aside(node) {
                self.value = Some((&key.name, node));
                return seed.deserialize(key.name.as_str().into_deserializer()).map(Some);
            }
        }
        Ok(None)
    }

    fn next_value_seed<V: DeserializeSeed<'n>>(&mut self, seed: V) -> Result<V::Value, Failure> {
        let Some((name, node)) = self.value.take() else { return Err(Failure::Reported) };
        let reader = self.parent.below(node, name);
        seed.deserialize(reader.clone()).map_err(|failure| reader.set_aside(failure))
    }
}

/// The one entry of an externally tagged enum.
pub(super) struct One<'n, 's> {
    pub key: Option<&'n str>,
    pub inner: Reader<'n, 's>,
}

impl<'n> de::MapAccess<'n> for One<'n, '_> {
    type Error = Failure;

    fn next_key_seed<K: DeserializeSeed<'n>>(&mut self, seed: K) -> Result<Option<K::Value>, Failure> {
        self.key.take().map(|key| seed.deserialize(key.into_deserializer())).transpose()
    }

    fn next_value_seed<V: DeserializeSeed<'n>>(&mut self, seed: V) -> Result<V::Value, Failure> {
        seed.deserialize(self.inner.clone())
    }
}
