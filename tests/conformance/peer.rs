//! The remote end: a raw port of the LAN, the frames that came to it with their times, and its answers to ARP and NDP.

use crate::model::IpInfo;
use crate::settings::Version;
use crate::wire::Ends;
use crate::wire::build::Message;
use crate::wire::read::{Content, Seen, read};
use etherparse::{ArpHardwareId, ArpOperation, ArpPacket, EtherType, Ethernet2Header, NetSlice, SlicedPacket};
use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
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
    pub(crate) fn plug(lan: &Lan, host: &Host, host_mac: [u8; 6], version: Version) -> std::io::Result<Peer> {
        let port = Arc::new(lan.raw_port()?);
        let inbox = Arc::new(Inbox::default());
        let (src, dst) = match version {
            Version::V4 => (port.addr().into(), host.addr()),
            Version::V6 => (port.addr_v6().into(), host.addrs().into_iter().find(IpAddr::is_ipv6).expect("it has one")),
        };
        let ends = Ends { src_mac: port.mac(), dst_mac: host_mac, src, dst };
        let (reader, into) = (port.clone(), inbox.clone());
        wakeline::spawn(async move {
            loop {
                let frame = reader.recv().await;
                if let Some(answer) = answer_arp(&frame, reader.mac(), reader.addr()) {
                    reader.send(&answer).expect("an answer is a sound frame");
                    continue;
                }
                let Some(packet) = read(&frame).transpose() else { continue };
                match &packet {
                    Ok(Seen { src, content: Content::Icmp { kind: 133..=143, head, .. }, .. }) if src.is_ipv6() => {
                        if let Some(answer) = answer_ndp(*src, head, reader.mac(), reader.addr_v6(), host_mac) {
                            reader.send(&answer).expect("an answer is a sound frame");
                        }
                    }
                    _ => into.push(packet),
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
    fn push(&self, packet: Result<Seen, String>) {
        self.frames.lock().unwrap_or_else(PoisonError::into_inner).push_back((Instant::now(), packet));
        self.arrived.notify_one();
    }
}

/// RFC 4861 7.2.4: a solicitation for our address is answered with an advertisement. `head` is what follows the ICMPv6
/// header, from the target on. Everything else of NDP and MLD needs no answer.
fn answer_ndp(asker: IpAddr, head: &[u8], mac: [u8; 6], addr: Ipv6Addr, asker_mac: [u8; 6]) -> Option<Vec<u8>> {
    const ADVERTISEMENT: u8 = 136;
    const SOLICITED_OVERRIDE: u32 = 0x6000_0000;
    if head.get(..16)? != addr.octets() || asker.is_unspecified() {
        return None;
    }
    let ends = Ends { src_mac: mac, dst_mac: asker_mac, src: addr.into(), dst: asker };
    let target = [&addr.octets()[..], &[2, 1], &mac].concat();
    let message = Message::icmp(&ends, (ADVERTISEMENT, 0), SOLICITED_OVERRIDE, &target);
    Some(message.frame(&ends, &IpInfo { ttl: Some(255), ..IpInfo::default() }))
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
