//! The remote end: a raw port of the LAN, the frames that came to it with their times, and its answers to ARP.

use crate::wire::{self, Ends, Seen};
use etherparse::{ArpHardwareId, ArpOperation, ArpPacket, EtherType, Ethernet2Header, NetSlice, SlicedPacket};
use std::collections::VecDeque;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, PoisonError};
use wakeline::net::emulated::{Host, Lan, RawPort};
use wakeline::sync::Notify;
use wakeline::time::Instant;

/// See the [module](self).
pub(crate) struct Peer {
    port: Arc<RawPort>,
    inbox: Arc<Inbox>,
    /// From here to the host under test.
    pub(crate) ends: Ends,
}

#[derive(Default)]
struct Inbox {
    frames: Mutex<VecDeque<(Instant, Result<Seen, String>)>>,
    arrived: Notify,
}

impl Peer {
    /// Plugs a port into `lan` and begins to listen there.
    pub(crate) fn plug(lan: &Lan, host: &Host, host_mac: [u8; 6]) -> std::io::Result<Peer> {
        let port = Arc::new(lan.raw_port()?);
        let inbox = Arc::new(Inbox::default());
        let ends = Ends { src_mac: port.mac(), dst_mac: host_mac, src: port.addr().into(), dst: host.addr() };
        let (reader, into) = (port.clone(), inbox.clone());
        wakeline::spawn(async move {
            loop {
                let frame = reader.recv().await;
                match answer_arp(&frame, reader.mac(), reader.addr()) {
                    Some(answer) => reader.send(&answer).expect("an answer is a sound frame"),
                    None => into.push(&frame),
                }
            }
        });
        Ok(Peer { port, inbox, ends })
    }

    /// Puts a frame on the wire.
    pub(crate) fn send(&self, frame: &[u8]) -> Result<(), String> {
        self.port.send(frame).map_err(|error| format!("the frame was not taken: {error}"))
    }

    /// The oldest packet that was not asked for yet, if one has come.
    pub(crate) fn try_next(&self) -> Option<(Instant, Result<Seen, String>)> {
        self.inbox.frames.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }

    /// Waits for it.
    pub(crate) async fn next(&self) -> (Instant, Result<Seen, String>) {
        loop {
            if let Some(packet) = self.try_next() {
                return packet;
            }
            self.inbox.arrived.notified().await;
        }
    }
}

impl Inbox {
    fn push(&self, frame: &[u8]) {
        let Some(packet) = wire::read(frame).transpose() else { return };
        self.frames.lock().unwrap_or_else(PoisonError::into_inner).push_back((Instant::now(), packet));
        self.arrived.notify_one();
    }
}

fn answer_arp(frame: &[u8], mac: [u8; 6], addr: Ipv4Addr) -> Option<Vec<u8>> {
    let Some(NetSlice::Arp(arp)) = SlicedPacket::from_ethernet(frame).ok()?.net else { return None };
    if arp.operation() != ArpOperation::REQUEST || arp.target_protocol_addr() != addr.octets() {
        return None;
    }
    let (asker, asker_mac) = (arp.sender_protocol_addr(), arp.sender_hw_addr());
    let answer = ArpPacket::new(
        ArpHardwareId::ETHERNET,
        EtherType::IPV4,
        ArpOperation::REPLY,
        &mac,
        &addr.octets(),
        asker_mac,
        asker,
    );
    let destination = asker_mac.try_into().ok()?;
    let mut bytes = Ethernet2Header { source: mac, destination, ether_type: EtherType::ARP }.to_bytes().to_vec();
    bytes.extend_from_slice(&answer.ok()?.to_bytes());
    Some(bytes)
}
