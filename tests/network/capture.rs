//! What a capture says of a network.

use pcap_file::pcapng::{Block, PcapNgReader};
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use wakeline::io::{AsyncReadExt, AsyncWriteExt};
use wakeline::net::emulated::{Capture, Captured, Host, Lan, Netem};
use wakeline::net::{TcpListener, TcpStream};
use wakeline::runtime::Builder;

/// A file in memory.
#[derive(Clone, Default)]
struct Memory(Arc<Mutex<Vec<u8>>>);

impl Write for Memory {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// One frame as it was read back.
struct Frame {
    interface: String,
    at: Duration,
    inbound: bool,
    data: Vec<u8>,
}

fn frames(file: &[u8]) -> Vec<Frame> {
    let mut reader = PcapNgReader::new(file).unwrap();
    let (mut names, mut frames) = (Vec::new(), Vec::new());
    while let Some(block) = reader.next_block() {
        match block.unwrap() {
            Block::InterfaceDescription(interface) => {
                use pcap_file::pcapng::blocks::interface_description::InterfaceDescriptionOption;
                assert!(interface.options.contains(&InterfaceDescriptionOption::IfTsResol(9)));
                names.extend(interface.options.iter().find_map(|option| match option {
                    InterfaceDescriptionOption::IfName(name) => Some(name.clone().into_owned()),
                    _ => None,
                }));
            }
            Block::EnhancedPacket(packet) => {
                use pcap_file::pcapng::blocks::enhanced_packet::EnhancedPacketOption;
                let interface = names[packet.interface_id as usize].clone();
                let inbound = packet.options.contains(&EnhancedPacketOption::Flags(1));
                frames.push(Frame { interface, at: packet.timestamp, inbound, data: packet.data.into_owned() });
            }
            _ => {}
        }
    }
    frames
}

/// An exchange of 20 kB over a link that loses and delays, by a clock that stands, captured by `capture`.
fn exchange(capture: impl FnOnce(&Lan, &Host, Memory) -> io::Result<Capture>) -> (Vec<u8>, Captured, u64) {
    let file = Memory::default();
    let runtime = Builder::new_current_thread().enable_all().start_paused(true).rng_seed(3).build().unwrap();
    let (captured, lost) = runtime.block_on(async {
        let lan = Lan::with_seed(7);
        let server = lan.host("server").build().unwrap();
        let netem = Netem::new().delay(Duration::from_millis(5)).loss(0.05);
        let client = lan.host("client").link(netem).build().unwrap();
        let capture = capture(&lan, &client, file.clone()).unwrap();
        let listener = server.run(TcpListener::bind("0.0.0.0:7000")).await.unwrap();
        server.spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut all = vec![0; 20_000];
            stream.read_exact(&mut all).await.unwrap();
            stream.write_all(&all).await.unwrap();
        });
        let exchange = client.run(async {
            let mut stream = TcpStream::connect("server:7000").await.unwrap();
            stream.write_all(&[7; 20_000]).await.unwrap();
            let mut all = Vec::new();
            stream.read_to_end(&mut all).await.unwrap();
            assert_eq!(all, [7; 20_000]);
        });
        exchange.await;
        let lost = client.counters().drops.get(wakeline::net::event::DropReason::NetemLoss);
        (capture.finish().unwrap(), lost)
    });
    let bytes = file.0.lock().unwrap().clone();
    (bytes, captured, lost)
}

#[test]
fn a_lan_is_captured_once_and_alike_in_every_run() {
    let (file, captured, lost) = exchange(|lan, _, file| lan.capture(file));
    assert!(lost > 0, "the link loses");
    let frames = frames(&file);
    assert_eq!((captured.frames, captured.dropped), (frames.len() as u64, 0));
    assert_eq!(captured.bytes, frames.iter().map(|frame| frame.data.len() as u64).sum::<u64>());
    let mut of = BTreeMap::<_, usize>::new();
    for frame in &frames {
        *of.entry(&*frame.interface).or_default() += 1;
        assert!(!frame.inbound, "each frame as it is sent");
    }
    assert!(of.len() == 2 && of["server"] > 10 && of["client"] > 10, "{of:?}");
    assert!(frames.is_sorted_by_key(|frame| frame.at));
    let took = frames.last().unwrap().at - frames[0].at;
    assert!(took >= Duration::from_millis(30), "virtual time has passed: {took:?}");
    assert!(file == exchange(|lan, _, file| lan.capture(file)).0, "the same seed, another file");
}

#[test]
fn a_host_is_captured_in_both_directions_without_what_is_lost_on_the_way_to_it() {
    let (file, _, _) = exchange(|_, host, file| host.capture(file));
    let frames = frames(&file);
    assert!(frames.iter().all(|frame| frame.interface == "client"));
    let inbound = frames.iter().filter(|frame| frame.inbound).count();
    let (lan, ..) = exchange(|lan, _, file| lan.capture(file));
    let sent_to_it = self::frames(&lan).iter().filter(|frame| frame.interface == "server").count();
    assert!(inbound > 10 && inbound < sent_to_it, "{inbound} of {sent_to_it}");
}

#[test]
fn a_writer_that_fails_is_told_of_at_the_end() {
    struct Full;
    impl Write for Full {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::StorageFull.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let lan = Lan::with_seed(1);
    let capture = lan.capture(Full).unwrap();
    let port = lan.raw_port().unwrap();
    port.send(&[0xff; 60]).unwrap();
    assert_eq!(capture.finish().unwrap_err().kind(), io::ErrorKind::StorageFull);
}
