//! The pump: one task that carries frames between the port of a LAN and a TAP device.
//!
//! A turn writes a batch of what has left the LAN, reads a batch of what the kernel sends, and puts that on the wire at once.
//! Both batches have a bound, and after a full one others have their turn before the pump goes on. The device is
//! non-blocking: a full one leaves its frames in the port's queue, which is bounded and counts what it loses.
//!
//! What is read goes straight into a packet buffer, behind the virtio header. The last part of the read is for frames longer
//! than such a buffer, super-segments among them.

use crate::event::DropReason;
use crate::link::port::Port;
use crate::link::switch::{PortId, Switch};
use crate::link::uplink::Uplink;
use crate::packet::{LARGE, PacketBuf, Pool, PoolCache, SMALL};
use crate::tap::device::Device;
use crate::tap::vnet::VnetHeader;
use std::collections::VecDeque;
use std::future::Future;
use std::io::{self, ErrorKind, IoSlice, IoSliceMut};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use wakeline_runtime::io::Source;
use wakeline_runtime::wait_queue::{Events, Mode, WaitSlot};
use zerocopy::IntoBytes;

/// What a TAP port has carried.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Carried {
    /// Frames that the kernel has sent into the LAN.
    pub rx_packets: u64,
    /// Their bytes, from the destination address to the end of the payload.
    pub rx_bytes: u64,
    /// Frames that the LAN has sent to the kernel.
    pub tx_packets: u64,
    /// Their bytes.
    pub tx_bytes: u64,
}

/// The counts, written by the pump once a batch.
#[derive(Debug, Default)]
pub(crate) struct Meter(Mutex<Carried>);

impl Meter {
    pub(crate) fn read(&self) -> Carried {
        *self.lock()
    }

    fn add(&self, batch: Carried) {
        if batch == Carried::default() {
            return;
        }
        let mut sum = self.lock();
        sum.rx_packets += batch.rx_packets;
        sum.rx_bytes += batch.rx_bytes;
        sum.tx_packets += batch.tx_packets;
        sum.tx_bytes += batch.tx_bytes;
    }

    fn lock(&self) -> MutexGuard<'_, Carried> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The two ends between which frames are carried.
pub(crate) struct Ends {
    pub(crate) device: Device,
    pub(crate) switch: Arc<Switch>,
    pub(crate) port_id: PortId,
    pub(crate) port: Arc<Port>,
    pub(crate) uplink: Arc<Uplink>,
    pub(crate) meter: Arc<Meter>,
    pub(crate) pool: Pool,
}

pub(crate) struct Pump {
    source: Source<Device>,
    switch: Arc<Switch>,
    port_id: PortId,
    port: Arc<Port>,
    uplink: Arc<Uplink>,
    meter: Arc<Meter>,
    pool: PoolCache,
    /// On their way to the device.
    out: VecDeque<PacketBuf>,
    /// Where the next frame is read to.
    header: VnetHeader,
    buffer: Option<PacketBuf>,
    /// Where the rest of a long frame goes; the whole frame when the pool has no buffer.
    overflow: Box<[u8]>,
    read_slot: WaitSlot,
    write_slot: WaitSlot,
    uplink_slot: WaitSlot,
}

/// Frames in each direction in one turn, at most: with both together a turn stays within a task's budget.
const BATCH: usize = 56;
/// What is read is put on the wire at the latest after this many bytes: cut, they are some hundreds of frames, which a
/// receiver's ring holds.
const BURST_BYTES: usize = 256 << 10;
/// The longest frame that the kernel gives: 64 KiB of IP packet behind an Ethernet header, with room for a VLAN tag.
const FRAME_BYTES_MAX: usize = 65_535 + 18;

/// The device will give and take nothing any more.
struct Gone;

impl Pump {
    /// # Errors
    /// When the device can not be registered with the reactor.
    ///
    /// # Panics
    /// Outside a runtime, or in one that was built without `enable_io`.
    pub(crate) fn new(ends: Ends) -> io::Result<Pump> {
        let source = Source::new(ends.device, Events::READABLE | Events::WRITABLE)?;
        // The kernel does not call a device writable whose interface is down. Tried all the same it says so at once, and
        // frames are lost and counted as by any interface that is down, instead of growing old in the queue.
        source.presume_ready(Events::WRITABLE);
        Ok(Pump {
            source,
            switch: ends.switch,
            port_id: ends.port_id,
            port: ends.port,
            uplink: ends.uplink,
            meter: ends.meter,
            pool: ends.pool.cache(),
            out: VecDeque::new(),
            header: VnetHeader::default(),
            buffer: None,
            overflow: vec![0; FRAME_BYTES_MAX].into(),
            read_slot: WaitSlot::new(),
            write_slot: WaitSlot::new(),
            uplink_slot: WaitSlot::new(),
        })
    }

    /// Writes a batch; `Pending` when there is nothing to write, or the device is full, and the pump will be woken.
    fn transmit(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Gone>> {
        let mut batch = Carried::default();
        let mut result = Poll::Ready(Ok(()));
        for _ in 0..BATCH {
            if self.out.is_empty() {
                self.uplink.pop(BATCH, &mut self.out);
            }
            let Some(frame) = self.out.front() else {
                result = self.wait_for_frames(cx);
                break;
            };
            let write = |device: &Device| {
                let data = IoSlice::new(frame.data());
                if device.has_vnet_header() {
                    device.write(&[IoSlice::new(VnetHeader::of(frame).as_bytes()), data])
                } else {
                    device.write(&[data])
                }
            };
            match self.source.poll_io(cx, &mut self.write_slot, Events::WRITABLE, write) {
                Poll::Pending => {
                    result = Poll::Pending;
                    break;
                }
                Poll::Ready(Ok(_)) => {
                    batch.tx_packets += 1;
                    batch.tx_bytes += frame.len() as u64;
                }
                Poll::Ready(Err(error)) if error.kind() == ErrorKind::Interrupted => continue,
                Poll::Ready(Err(error)) if is_gone(&error) => {
                    result = Poll::Ready(Err(Gone));
                    break;
                }
                // EIO: the interface is down.
                Poll::Ready(Err(_)) => self.port.down.count_drop(DropReason::DevReady),
            }
            if let Some(frame) = self.out.pop_front() {
                self.pool.free(frame);
            }
        }
        self.meter.add(batch);
        result
    }

    fn wait_for_frames(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Gone>> {
        self.uplink.waiters.prepare(&mut self.uplink_slot, cx.waker(), Events::IN, Mode::Exclusive);
        if self.uplink.has_news() { Poll::Ready(Ok(())) } else { Poll::Pending }
    }

    /// Reads a batch and puts it on the wire; `Pending` when the device had no more, and the pump will be woken.
    fn receive(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Gone>> {
        let mut batch = Carried::default();
        let mut frames = Vec::new();
        let mut bytes = 0;
        let mut result = Poll::Ready(Ok(()));
        for _ in 0..BATCH {
            match self.read(cx) {
                Poll::Ready(Ok(n)) => {
                    batch.rx_packets += 1;
                    batch.rx_bytes += n as u64;
                    if let Err(reason) = self.take(n, &mut frames) {
                        self.port.up.count_drop(reason);
                    }
                    bytes += n;
                    if bytes >= BURST_BYTES {
                        bytes = 0;
                        self.switch.send(self.port_id, &self.port, &mut frames);
                        frames.clear();
                    }
                }
                Poll::Ready(Err(error)) if error.kind() == ErrorKind::Interrupted => {}
                // Whatever else a read says, it will say it again.
                Poll::Ready(Err(_)) => {
                    result = Poll::Ready(Err(Gone));
                    break;
                }
                Poll::Pending => {
                    result = Poll::Pending;
                    break;
                }
            }
        }
        self.meter.add(batch);
        self.switch.send(self.port_id, &self.port, &mut frames);
        result
    }

    /// Reads the next frame into `header`, `buffer` and `overflow`, and gives its length.
    fn read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if self.buffer.is_none() {
            self.buffer = self.pool.alloc(0, LARGE);
            if let Some(buffer) = &mut self.buffer {
                buffer.put(LARGE);
            }
        }
        let Pump { source, read_slot, header, buffer, overflow, .. } = self;
        source.poll_io(cx, read_slot, Events::READABLE, |device| {
            let first: &mut [u8] = buffer.as_mut().map_or(&mut [], |buffer| buffer.data_mut());
            let mut bufs = [IoSliceMut::new(header.as_mut_bytes()), IoSliceMut::new(first), IoSliceMut::new(overflow)];
            if device.has_vnet_header() {
                Ok(device.read(&mut bufs)?.saturating_sub(VnetHeader::LEN))
            } else {
                device.read(&mut bufs[1..])
            }
        })
    }

    /// Makes a frame, or several, of the `n` bytes that were read.
    fn take(&mut self, n: usize, frames: &mut Vec<PacketBuf>) -> Result<(), DropReason> {
        let frame = frame_of(n, &mut self.buffer, &self.overflow, &mut self.pool).ok_or(DropReason::Nomem)?;
        if !self.source.get_ref().has_vnet_header() {
            frames.push(frame);
            return Ok(());
        }
        self.header.apply(frame, &mut self.pool, frames)
    }
}

/// Makes a frame of the `n` bytes that were read. A short one is copied, so that it does not hold a large block (the
/// drivers' copy-break); a long one is put together.
fn frame_of(n: usize, buffer: &mut Option<PacketBuf>, overflow: &[u8], pool: &mut PoolCache) -> Option<PacketBuf> {
    let read = buffer.as_mut()?;
    if n > SMALL && n <= LARGE {
        read.truncate(n);
        return buffer.take();
    }
    let mut frame = pool.alloc(0, n)?;
    let (head, tail) = frame.put(n).split_at_mut(n.min(LARGE));
    head.copy_from_slice(&read.data()[..head.len()]);
    tail.copy_from_slice(&overflow[..tail.len()]);
    Some(frame)
}

/// Whether the kernel has no such device any more: it was deleted.
fn is_gone(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::EBADFD) || error.raw_os_error().is_none()
}

impl Future for Pump {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        if this.uplink.is_closed() {
            return Poll::Ready(());
        }
        match (this.transmit(cx), this.receive(cx)) {
            (Poll::Ready(Err(Gone)), _) | (_, Poll::Ready(Err(Gone))) => return Poll::Ready(()),
            (Poll::Pending, Poll::Pending) => {}
            // A full batch in either direction: there may be more, but others first.
            _ => cx.waker().wake_by_ref(),
        }
        Poll::Pending
    }
}

impl Drop for Pump {
    fn drop(&mut self) {
        self.source.release(&mut self.read_slot);
        self.source.release(&mut self.write_slot);
        let _ = self.uplink.waiters.finish(&mut self.uplink_slot);
        // Whether the port was unplugged, the device is gone or the runtime ended: nobody carries these on.
        for _ in 0..self.uplink.close() + self.out.len() {
            self.port.down.count_drop(DropReason::DevReady);
        }
    }
}
