//! Writing a capture as pcapng (draft-ietf-opsawg-pcapng), with the `pcap-file` library.
//!
//! One section; an interface for each port, described when its first frame comes, with times in nanoseconds; an
//! enhanced packet for each frame, with its direction; statistics of each interface at the end. A checksum that the
//! sender left to its device is completed first: in the file the device has done its work.

use crate::link::capture::{Captured, Record, Spool, Way};
use crate::link::switch::PortId;
use crate::wire::completion;
use pcap_file::pcapng::PcapNgWriter;
use pcap_file::pcapng::blocks::enhanced_packet::{EnhancedPacketBlock, EnhancedPacketOption};
use pcap_file::pcapng::blocks::interface_description::{InterfaceDescriptionBlock, InterfaceDescriptionOption};
use pcap_file::pcapng::blocks::interface_statistics::{InterfaceStatisticsBlock, InterfaceStatisticsOption};
use pcap_file::pcapng::blocks::section_header::{SectionHeaderBlock, SectionHeaderOption};
use pcap_file::{DataLink, Endianness, PcapError};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::{self, BufWriter, Write};
use std::time::Duration;

/// Writes what comes through `spool` until it is closed and empty.
pub(crate) fn write(spool: &Spool, to: impl Write) -> io::Result<Captured> {
    let mut file = File::begin(BufWriter::with_capacity(BUFFER_BYTES, to)).map_err(into_io)?;
    let mut captured = Captured::default();
    while let Some(records) = spool.drain() {
        for record in records {
            captured.frames += 1;
            captured.bytes += record.frame.len() as u64;
            file.frame(record).map_err(into_io)?;
        }
        // Whoever reads along, sees all there is.
        file.writer.get_mut().flush()?;
    }
    let lost = spool.lost();
    captured.dropped = lost.values().sum();
    file.end(&lost).map_err(into_io)?;
    file.writer.get_mut().flush()?;
    Ok(captured)
}

const BUFFER_BYTES: usize = 64 << 10;
/// `if_tsresol`: times are in units of 10^-9 seconds.
const NANOSECONDS: u8 = 9;
/// No frame is cut: an Ethernet header with a VLAN tag, and 64 KiB.
const SNAPLEN: u32 = 65_535 + 18;

struct File<W: Write> {
    writer: PcapNgWriter<W>,
    interfaces: BTreeMap<PortId, Interface>,
    /// The time of the last frame.
    last: Duration,
}

struct Interface {
    id: u32,
    frames: u64,
}

impl<W: Write> File<W> {
    fn begin(to: W) -> Result<File<W>, PcapError> {
        let section = SectionHeaderBlock {
            // The same on every machine. The library writes the moment of an interface's statistics as one number, which
            // the format has as two words, the high one first: in this order of bytes that is the same.
            endianness: Endianness::Big,
            options: vec![SectionHeaderOption::UserApplication(Cow::Borrowed("wakeline"))],
            ..SectionHeaderBlock::default()
        };
        let writer = PcapNgWriter::with_section_header(to, section)?;
        Ok(File { writer, interfaces: BTreeMap::new(), last: Duration::ZERO })
    }

    fn frame(&mut self, mut record: Record) -> Result<(), PcapError> {
        if record.is_partial {
            completion::complete(&mut record.frame);
        }
        let interface = self.interface(&record)?;
        let inbound_or_outbound = match record.way {
            Way::In => 1,
            Way::Out => 2,
        };
        self.last = record.at;
        self.writer.write_pcapng_block(EnhancedPacketBlock {
            interface_id: interface,
            timestamp: record.at,
            original_len: u32::try_from(record.frame.len()).unwrap_or(u32::MAX),
            data: Cow::Borrowed(&record.frame),
            options: vec![EnhancedPacketOption::Flags(inbound_or_outbound)],
        })?;
        Ok(())
    }

    /// The number of the port's interface in this file, which is described at its first frame.
    fn interface(&mut self, record: &Record) -> Result<u32, PcapError> {
        if let Some(interface) = self.interfaces.get_mut(&record.port) {
            interface.frames += 1;
            return Ok(interface.id);
        }
        let mut options = vec![InterfaceDescriptionOption::IfName(Cow::Borrowed(&record.name))];
        options.extend(record.mac.as_ref().map(|mac| InterfaceDescriptionOption::IfMacAddr(Cow::Borrowed(mac))));
        options.push(InterfaceDescriptionOption::IfTsResol(NANOSECONDS));
        let id = u32::try_from(self.interfaces.len()).unwrap_or(u32::MAX);
        self.writer.write_pcapng_block(InterfaceDescriptionBlock {
            linktype: DataLink::ETHERNET,
            snaplen: SNAPLEN,
            options,
        })?;
        self.interfaces.insert(record.port, Interface { id, frames: 1 });
        Ok(id)
    }

    fn end(&mut self, lost: &BTreeMap<PortId, u64>) -> Result<(), PcapError> {
        for (port, interface) in &self.interfaces {
            let dropped = lost.get(port).copied().unwrap_or(0);
            self.writer.write_pcapng_block(InterfaceStatisticsBlock {
                interface_id: interface.id,
                timestamp: u64::try_from(self.last.as_nanos()).unwrap_or(u64::MAX),
                options: vec![
                    InterfaceStatisticsOption::IsbIfRecv(interface.frames + dropped),
                    InterfaceStatisticsOption::IsbOsDrop(dropped),
                ],
            })?;
        }
        Ok(())
    }
}

fn into_io(error: PcapError) -> io::Error {
    match error {
        PcapError::IoError(error) => error,
        other => io::Error::other(other),
    }
}
