//! One real Apache Kafka per test process, in `KRaft` mode, with two plaintext listeners and one of `SASL_SSL`.
//!
//! Started by whoever asks first and shared by all: tests use topics and groups of unique names, see [`Kafka::topic`].
//! The settings are those of `docs/decisions` for tests: one node, replication factor 1, no initial rebalance delay. What
//! tests write is often weeks old, so retention deletes nothing unless a topic asks for it.

use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{
        Mutex, OnceLock,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use rdkafka::{
    ClientConfig, Message, Offset, TopicPartitionList,
    admin::{AdminClient, AdminOptions, NewTopic, TopicReplication},
    client::{ClientContext, DefaultClientContext},
    consumer::{BaseConsumer, Consumer},
    error::KafkaError,
    message::ToBytes,
    producer::{BaseProducer, BaseRecord, DeliveryResult, Producer, ProducerContext},
    types::RDKafkaErrorCode,
};

use super::{
    certificates::Certificates,
    counted::Counted,
    folder::Folder,
    http::RUNTIME,
    program::{Program, START_LIMIT, cache, eventually, free_port, installed},
};

/// The SCRAM user that the secured listener knows.
pub const USER: &str = "keyhound";
pub const PASSWORD: &str = "correct-horse";

const VERSION: &str = "4.3.1";
const ANSWER_LIMIT: Duration = Duration::from_mins(1);

/// The running broker.
pub struct Kafka {
    /// `127.0.0.1:port` without encryption or authentication.
    pub plain: String,
    /// `127.0.0.1:port` over TLS, with SASL/SCRAM-SHA-512 as [`USER`].
    pub secured: String,
    /// The authority that signed the broker's certificate, as a PEM file.
    pub authority: PathBuf,
    /// A plaintext listener of which the bytes are counted.
    pub counted: Counted,
    broker: Program,
    class_path: String,
    folder: Folder,
}

/// The shared broker, started at the first call.
pub fn kafka() -> &'static Kafka {
    static SHARED: OnceLock<Kafka> = OnceLock::new();
    SHARED.get_or_init(Kafka::start)
}

impl Kafka {
    /// Starts a broker of one's own, for those that will not share.
    #[track_caller]
    pub fn start() -> Self {
        let folder = Folder::new("kafka");
        let jars = cache().join(format!("kafka-{VERSION}/jars"));
        assert!(jars.is_dir(), "{} is missing: tests/install/run kafka", jars.display());
        let certificates = Certificates::make(folder.path());
        let (plain, secured, controller, inner) = (free_port(), free_port(), free_port(), free_port());
        let counted = Counted::to(inner);
        let ports = [plain, secured, controller, inner];
        let settings = settings(folder.path(), &certificates, ports, counted.port);
        let settings = folder.write("server.properties", settings);
        let log_settings = folder.write("log4j2.xml", LOG_SETTINGS);
        let class_path = format!("{}/*", jars.display());
        format_storage(&class_path, &settings);
        let log_settings = format!("-Dlog4j2.configurationFile=file:{}", log_settings.display());
        let memory = ["-Xms256m", "-Xmx1g", "-XX:+UseG1GC"];
        let mut arguments: Vec<&str> = memory.to_vec();
        let settings = settings.display().to_string();
        arguments.extend([log_settings.as_str(), "-cp", &class_path, "kafka.Kafka", &settings]);
        let mut broker = Program::start("kafka", installed("java"), arguments, folder.path());
        let plain = format!("127.0.0.1:{plain}");
        broker.wait_until("answering a metadata request", START_LIMIT, || knows_a_broker(&plain));
        let secured = format!("127.0.0.1:{secured}");
        Self { plain, secured, authority: certificates.authority, broker, counted, class_path, folder }
    }

    /// Gives [`USER`] another password. Who is connected is asked for it again within seconds.
    #[track_caller]
    pub fn set_password(&self, password: &str) {
        let wanted = format!("SCRAM-SHA-512=[iterations=4096,password={password}]");
        let arguments = ["--bootstrap-server", &self.plain, "--entity-type", "users", "--entity-name", USER];
        java(&self.class_path, "kafka.admin.ConfigCommand", arguments, &["--alter", "--add-config", &wanted]);
    }

    /// How many bytes the records of a topic take in the broker's files, each partition in its first one.
    #[track_caller]
    pub fn bytes_of(&self, topic: &str, partitions: i32) -> u64 {
        let bytes_of = |partition: i32| {
            let file = format!("log/{topic}-{partition}/{:020}.log", 0);
            fs::metadata(self.folder.path().join(file)).expect("the partition has a file").len()
        };
        (0..partitions).map(bytes_of).sum()
    }

    /// Sends the broker a signal by its name, such as `STOP`.
    #[track_caller]
    pub fn signal(&self, name: &str) {
        self.broker.signal(name);
    }

    /// Creates a topic of a unique name that begins with `name`.
    #[track_caller]
    pub fn topic(&self, name: &str, partitions: i32) -> String {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let topic = format!("{name}-{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let admin: AdminClient<DefaultClientContext> =
            self.client().create().expect("an admin client can be made");
        let wanted = [NewTopic::new(&topic, partitions, TopicReplication::Fixed(1))];
        let options = AdminOptions::new().operation_timeout(Some(ANSWER_LIMIT));
        let created = RUNTIME.block_on(admin.create_topics(&wanted, &options)).expect("the broker answers");
        created[0].as_ref().unwrap_or_else(|error| panic!("topic {topic} could not be created: {error:?}"));
        self.wait_for_leaders(&topic, partitions);
        topic
    }

    /// Waits until every partition of a topic has a leader: the controller answers a creation before the broker has
    /// heard of it.
    #[track_caller]
    pub fn wait_for_leaders(&self, topic: &str, partitions: i32) {
        let consumer: BaseConsumer = self.client().create().expect("a consumer can be made");
        eventually(&format!("the broker leads every partition of {topic}"), ANSWER_LIMIT, || {
            let metadata = consumer.fetch_metadata(Some(topic), ANSWER_LIMIT).ok()?;
            let led = metadata.topics().first()?.partitions().iter().filter(|one| one.leader() >= 0).count();
            (i32::try_from(led) == Ok(partitions)).then_some(())
        });
    }

    /// Writes records, keyless, spread over the topic's partitions in turn, and waits until the broker has them.
    #[track_caller]
    pub fn produce<R: AsRef<[u8]>>(&self, topic: &str, records: impl IntoIterator<Item = R>) {
        let writer = self.writer();
        let metadata =
            writer.0.client().fetch_metadata(Some(topic), ANSWER_LIMIT).expect("the broker answers");
        let partitions = metadata.topics()[0].partitions().len();
        for (index, record) in records.into_iter().enumerate() {
            let partition = i32::try_from(index % partitions).expect("few partitions");
            writer.send(BaseRecord::<(), [u8]>::to(topic).partition(partition).payload(record.as_ref()));
        }
        writer.finish();
    }

    /// Writes (key, value) records, each where its key puts it, and waits until the broker has them.
    #[track_caller]
    pub fn produce_keyed(&self, topic: &str, records: impl IntoIterator<Item = (String, String)>) {
        let writer = self.writer();
        for (key, value) in records {
            writer.send(BaseRecord::<str, str>::to(topic).key(&key).payload(&value));
        }
        writer.finish();
    }

    /// For records that are to be written otherwise.
    pub fn writer(&self) -> Writer {
        let mut config = self.client();
        // What is sent again keeps its place.
        config
            .set("enable.idempotence", "true")
            .set("compression.type", "lz4")
            .set("linger.ms", "5")
            .set("queue.buffering.max.messages", "1000000");
        Writer(config.create_with_context(Deliveries::default()).expect("a producer can be made"))
    }

    /// The consumer groups that the broker knows of.
    #[track_caller]
    pub fn groups(&self) -> Vec<String> {
        let consumer: BaseConsumer = self.client().create().expect("a client can be made");
        let groups = consumer.fetch_group_list(None, ANSWER_LIMIT).expect("the broker answers");
        groups.groups().iter().map(|group| group.name().to_owned()).collect()
    }

    /// Every record of a topic from its beginning to where it ends now, as (key, value), partition by partition.
    #[track_caller]
    pub fn read_all(&self, topic: &str) -> Vec<(String, Vec<u8>)> {
        let mut config = self.client();
        config
            .set("group.id", "tests-read-all")
            .set("enable.auto.commit", "false")
            .set("isolation.level", "read_committed");
        let consumer: BaseConsumer = config.create().expect("a consumer can be made");
        let metadata = consumer.fetch_metadata(Some(topic), ANSWER_LIMIT).expect("the broker answers");
        let mut records = Vec::new();
        for partition in metadata.topics()[0].partitions() {
            read_partition(&consumer, topic, partition.id(), &mut records);
        }
        records
    }

    /// The librdkafka properties of the secured listener, as an operator would write them.
    pub fn secured_properties(&self) -> Vec<(&'static str, String)> {
        vec![
            ("security.protocol", "SASL_SSL".into()),
            ("sasl.mechanism", "SCRAM-SHA-512".into()),
            ("sasl.username", USER.into()),
            ("sasl.password", PASSWORD.into()),
            ("ssl.ca.location", self.authority.display().to_string()),
        ]
    }

    /// The same as the setting `properties` of a source, with the password in this file.
    pub fn secured_settings(&self, password: &Path) -> String {
        let mut text = String::from("properties: {");
        for (name, value) in self.secured_properties() {
            let _ = match name {
                "sasl.password" => write!(text, " {name}: {{ file: {password:?} }},"),
                _ => write!(text, " {name}: {value:?},"),
            };
        }
        text + " }"
    }

    fn client(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.plain);
        config
    }
}

/// Writes records, and knows whether the broker took them.
pub struct Writer(BaseProducer<Deliveries>);

impl Writer {
    #[track_caller]
    pub fn send<K: ToBytes + ?Sized, P: ToBytes + ?Sized>(&self, mut record: BaseRecord<'_, K, P>) {
        while let Err((error, refused)) = self.0.send(record) {
            assert_eq!(error.rdkafka_error_code(), Some(RDKafkaErrorCode::QueueFull), "{error}");
            self.0.poll(Duration::from_millis(10));
            record = refused;
        }
    }

    /// Waits until the broker has all of them: a flush ends well even if some could not be delivered.
    #[track_caller]
    pub fn finish(self) {
        self.0.flush(START_LIMIT).expect("the broker answers");
        let failed = self.0.context().0.lock().expect("no callback panics").take();
        assert!(failed.is_none(), "the broker did not take every record: {failed:?}");
    }
}

/// The last delivery that failed.
#[derive(Default)]
struct Deliveries(Mutex<Option<KafkaError>>);

impl ClientContext for Deliveries {}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if let Err((error, _)) = result {
            *self.0.lock().expect("no callback panics") = Some(error.clone());
        }
    }
}

fn read_partition(
    consumer: &BaseConsumer,
    topic: &str,
    partition: i32,
    records: &mut Vec<(String, Vec<u8>)>,
) {
    // A topic that was made a moment ago may have a partition without a leader yet.
    let (low, high) =
        eventually(&format!("{topic}/{partition} has a beginning and an end"), ANSWER_LIMIT, || {
            consumer.fetch_watermarks(topic, partition, ANSWER_LIMIT).ok()
        });
    let mut assignment = TopicPartitionList::new();
    assignment.add_partition_offset(topic, partition, Offset::Offset(low)).expect("a valid offset");
    consumer.assign(&assignment).expect("a partition that is there");
    let mut next = low;
    while next < high {
        let message = consumer.poll(ANSWER_LIMIT).expect("a record within the time limit").expect("a record");
        next = message.offset() + 1;
        let key = String::from_utf8_lossy(message.key().unwrap_or_default()).into_owned();
        records.push((key, message.payload().unwrap_or_default().to_vec()));
    }
}

fn knows_a_broker(address: &str) -> bool {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", address).set("log_level", "0");
    let Ok(consumer) = config.create::<BaseConsumer>() else { return false };
    consumer
        .fetch_metadata(None, Duration::from_millis(500))
        .is_ok_and(|metadata| !metadata.brokers().is_empty())
}

/// Formats the log folder; users of SCRAM are created here, before there is a broker that could be asked.
#[track_caller]
fn format_storage(class_path: &str, settings: &Path) {
    let user = format!("SCRAM-SHA-512=[name={USER},iterations=4096,password={PASSWORD}]");
    let arguments = ["format", "--ignore-formatted", "-t", "MkU3OEVBNTcwNTJENDM2Qk", "--add-scram", &user];
    java(class_path, "kafka.tools.StorageTool", arguments, &["-c", &settings.display().to_string()]);
}

/// Runs one of Kafka's commands to its end.
#[track_caller]
fn java<const N: usize>(class_path: &str, class: &str, arguments: [&str; N], more: &[&str]) {
    let output = Command::new(installed("java"))
        .args(["-Xmx256m", "-XX:TieredStopAtLevel=1", "-cp", class_path, class])
        .args(arguments)
        .args(more)
        .stdin(Stdio::null())
        .output()
        .expect("java can be started");
    assert!(output.status.success(), "{class} failed: {}", String::from_utf8_lossy(&output.stderr));
}

fn settings(
    folder: &Path,
    certificates: &Certificates,
    [plain, secured, controller, inner]: [u16; 4],
    counted: u16,
) -> String {
    let mut text = String::from(SETTINGS);
    let _ = writeln!(text, "controller.quorum.voters=1@127.0.0.1:{controller}");
    let known = format!("PLAIN://127.0.0.1:{plain},SECURED://127.0.0.1:{secured},COUNTED://127.0.0.1:");
    let _ = writeln!(text, "listeners={known}{inner},CONTROLLER://127.0.0.1:{controller}");
    let _ = writeln!(text, "advertised.listeners={known}{counted}");
    let _ = writeln!(text, "log.dirs={}", folder.join("log").display());
    let _ = writeln!(text, "ssl.keystore.location={}", certificates.server.display());
    let _ = writeln!(text, "ssl.truststore.location={}", certificates.authority.display());
    text
}

const SETTINGS: &str = "\
process.roles=broker,controller
node.id=1
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAIN
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAIN:PLAINTEXT,COUNTED:PLAINTEXT,SECURED:SASL_SSL
sasl.enabled.mechanisms=SCRAM-SHA-512
listener.name.secured.connections.max.reauth.ms=3000
listener.name.secured.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
ssl.keystore.type=PEM
ssl.truststore.type=PEM
auto.create.topics.enable=false
num.partitions=1
offsets.topic.num.partitions=8
transaction.state.log.num.partitions=8
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
log.retention.ms=-1
";

const LOG_SETTINGS: &str = r#"<Configuration>
  <Appenders><Console name="out"><PatternLayout pattern="%d %p %m (%c)%n"/></Console></Appenders>
  <Loggers><Root level="WARN"><AppenderRef ref="out"/></Root></Loggers>
</Configuration>
"#;
