//! Which kind of source a section of the settings is, and how it is built.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    Source, SourceError, TimeOf,
    file::{FileSettings, FileSource},
    kafka::{KafkaSettings, KafkaSource},
    stdin::{StdinSettings, StdinSource},
};

/// Valid settings of one source.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Settings {
    Kafka(KafkaSettings),
    File(FileSettings),
    Stdin(StdinSettings),
}

/// A section that is not exactly one kind of source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a source must have exactly one of \"kafka\", \"file\" and \"stdin\"; this one has {0} of them")]
pub struct KindError(pub usize);

impl Settings {
    /// The one kind of source that a section has, from its three optional fields.
    pub fn one_of(
        kafka: Option<KafkaSettings>,
        file: Option<FileSettings>,
        stdin: Option<StdinSettings>,
    ) -> Result<Self, KindError> {
        match (kafka, file, stdin) {
            (Some(kafka), None, None) => Ok(Self::Kafka(kafka)),
            (None, Some(file), None) => Ok(Self::File(file)),
            (None, None, Some(stdin)) => Ok(Self::Stdin(stdin)),
            (kafka, file, stdin) => Err(KindError(
                usize::from(kafka.is_some()) + usize::from(file.is_some()) + usize::from(stdin.is_some()),
            )),
        }
    }

    /// What the source with the index `index` is called where the settings do not say.
    pub fn default_name(&self, index: usize) -> String {
        match self {
            Self::Kafka(kafka) => format!("{index}:{}", kafka.topics().join("+")),
            Self::File(_) => format!("{index}:file"),
            Self::Stdin(_) => format!("{index}:stdin"),
        }
    }

    /// The source with the index `source` in the settings, not started yet. Of a record that is longer than
    /// `record_bytes_max` it takes so many bytes. `time_of` makes what tells the times of its records,
    /// where that is needed.
    pub fn build<E: From<SourceError>>(
        &self,
        source: u16,
        record_bytes_max: usize,
        time_of: impl FnOnce() -> Result<TimeOf, E>,
    ) -> Result<Box<dyn Source>, E> {
        Ok(match self {
            Self::Kafka(settings) => {
                let topics = KafkaSource::new(source, settings.clone()).aligned_by(time_of()?);
                Box::new(topics.bounded(record_bytes_max))
            }
            Self::File(settings) => {
                let files = FileSource::new(source, settings.clone()).aligned_by(time_of()?);
                Box::new(files.bounded(record_bytes_max))
            }
            Self::Stdin(_) => Box::new(StdinSource::new(source, record_bytes_max)?),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{KindError, Settings, StdinSettings};

    #[test]
    fn a_section_names_its_kind() {
        let settings: Vec<Settings> =
            serde_saphyr::from_str("[{ stdin: {} }, { file: { paths: [a] } }]").unwrap();
        assert!(matches!(settings[..], [Settings::Stdin(_), Settings::File(_)]));
    }

    #[test]
    fn none_or_two_kinds_are_refused() {
        assert_eq!(Settings::one_of(None, None, None), Err(KindError(0)));
        let file = serde_saphyr::from_str("{ paths: [a] }").ok();
        let two = Settings::one_of(None, file, Some(StdinSettings {})).unwrap_err();
        assert!(two.to_string().ends_with("this one has 2 of them"));
    }

    #[test]
    fn the_schema_says_what_the_settings_take() {
        let schema = serde_json::to_string(&schemars::schema_for!(Settings)).unwrap();
        for field in ["brokers", "topics", "group", "start", "properties", "paths", "follow", "stdin"] {
            assert!(schema.contains(&format!("\"{field}\"")), "{field} is missing in {schema}");
        }
    }
}
