//! Memory that the kernel may touch: mappings, provided-buffer rings, status buffers. With `ring.rs` the only file with `unsafe`.
//!
//! Everything here is reached by raw pointers alone: the kernel and JavaScript write behind Rust's back, so no reference into such
//! memory is ever made. Who may use which part when is decided by the pure tables (`block.rs`, `slot.rs`); this file only owns.

use crate::address::{Address, EncodedAddress};
use crate::block::BlockId;
use crate::descriptor::DescriptorId;
use crate::error::MemoryError;
use crate::outcome::{FileStatus, Timestamp};
use crate::proactor::Proactor;
use crate::ring;
use rustix::net::SocketAddrAny;
use std::os::fd::AsRawFd;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicU16, Ordering};

/// Size and alignment of a huge page on x86-64 and (with 4 KiB pages) arm64.
const HUGE_PAGE: usize = 2 << 20;
/// Smallest block and smallest page.
pub(crate) const PAGE: usize = 4096;

/// An anonymous private mapping (`mmap(2)`), zeroed, page aligned, kept out of forked children (`MADV_DONTFORK`).
///
/// It is unmapped when the last `Arc` of it is dropped. Whoever shows its bytes to somebody else keeps an `Arc` for as long.
#[derive(Debug)]
pub struct Mapping {
    address: NonNull<u8>,
    length: usize,
}

// SAFETY: a mapping is an address range of the whole process; any thread may unmap it, and this type reads or writes no byte of it.
unsafe impl Send for Mapping {}
// SAFETY: as above; a shared reference gives out the address and the length only.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Maps `length` bytes (rounded up to pages; with `huge_pages` to 2 MiB, and aligned so). The error is the errno of `mmap(2)`.
    pub(crate) fn anonymous(length: usize, huge_pages: bool) -> Result<Self, i32> {
        let unit = if huge_pages { HUGE_PAGE } else { PAGE };
        let length = length.checked_next_multiple_of(unit).ok_or(libc::ENOMEM)?;
        // One unit too many, so that an aligned range lies somewhere inside; the ends are given back.
        let slack = if huge_pages { HUGE_PAGE } else { 0 };
        let reserved = length.checked_add(slack).ok_or(libc::ENOMEM)?;
        let (protection, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
        // SAFETY: a fresh anonymous mapping at an address of the kernel's choice touches nothing that exists.
        let start = unsafe { libc::mmap(ptr::null_mut(), reserved, protection, flags, -1, 0) };
        if start == libc::MAP_FAILED {
            return Err(last_errno());
        }
        let start = start.cast::<u8>();
        let head = start.align_offset(unit).min(slack);
        let address = start.wrapping_add(head);
        unmap(start, head);
        unmap(address.wrapping_add(length), slack - head);
        // Advice: a kernel without huge pages or with another idea serves the same memory, only slower.
        advise(address, length, libc::MADV_DONTFORK);
        if huge_pages {
            advise(address, length, libc::MADV_HUGEPAGE);
        }
        Ok(Self { address: NonNull::new(address).ok_or(libc::ENOMEM)?, length })
    }

    /// First byte.
    #[must_use]
    pub fn address(&self) -> NonNull<u8> {
        self.address
    }

    /// Length in bytes, a multiple of the page size.
    #[must_use]
    pub fn length(&self) -> usize {
        self.length
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        unmap(self.address.as_ptr(), self.length);
    }
}

fn unmap(address: *mut u8, length: usize) {
    if length > 0 {
        // SAFETY: the callers pass a part of a mapping that they made and that nobody was told of, or that nobody uses any more.
        let result = unsafe { libc::munmap(address.cast(), length) };
        debug_assert_eq!(result, 0, "munmap of our own range");
    }
}

fn advise(address: *mut u8, length: usize, advice: libc::c_int) {
    // SAFETY: the advice values used (no copy on fork, huge pages) change no content of the range, which is our own fresh mapping.
    let _ = unsafe { libc::madvise(address.cast(), length, advice) };
}

pub(crate) fn last_errno() -> i32 {
    std::io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO)
}

/// The part of `struct io_uring_buf` (`io_uring_register_buf_ring(3)`) that is ours to write. The two bytes behind it are the ring's
/// tail in the first entry and reserved in the others, so an entry is never written as a whole.
#[repr(C, packed(1))]
struct Provided {
    address: u64,
    length: u32,
    id: u16,
}

/// Distance between two entries of a provided-buffer ring.
const PROVIDED_STRIDE: usize = 16;
/// Where the tail lies in the ring: the reserved half-word of the first entry.
const PROVIDED_TAIL: usize = 14;
const _: () = assert!(size_of::<Provided>() == PROVIDED_TAIL);

/// A provided-buffer ring (Linux 5.19): blocks from which the kernel chooses. The kernel pins the pages while it is registered.
#[derive(Debug)]
pub(crate) struct ProvidedRing {
    mapping: Mapping,
    entries: u16,
    tail: u16,
}

impl ProvidedRing {
    /// A ring for at least `count` blocks, at most 32768. The error is an errno.
    pub(crate) fn new(count: u32) -> Result<Self, i32> {
        let entries = count.next_power_of_two();
        let entries = u16::try_from(entries).ok().filter(|entries| *entries <= 1 << 15).ok_or(libc::EINVAL)?;
        Ok(Self { mapping: Mapping::anonymous(usize::from(entries) * PROVIDED_STRIDE, false)?, entries, tail: 0 })
    }

    pub(crate) fn address(&self) -> NonNull<u8> {
        self.mapping.address()
    }

    pub(crate) fn entries(&self) -> u16 {
        self.entries
    }

    /// Gives one block to the kernel. A class has no more blocks than the ring has entries and a block is provided once, so there is
    /// always room.
    pub(crate) fn provide(&mut self, address: NonNull<u8>, length: u32, id: u16) {
        let index = usize::from(self.tail & (self.entries - 1));
        let base = self.mapping.address().as_ptr();
        let entry = base.wrapping_add(index * PROVIDED_STRIDE).cast::<Provided>();
        // SAFETY: `index` is below `entries`, so the 14 bytes lie inside the mapping; the kernel reads them only once the tail covers
        // them.
        unsafe { entry.write_unaligned(Provided { address: address.as_ptr() as u64, length, id }) };
        self.tail = self.tail.wrapping_add(1);
        // SAFETY: bytes 14 and 15 of the page-aligned mapping are an aligned u16; the kernel only reads it.
        let tail = unsafe { AtomicU16::from_ptr(base.wrapping_add(PROVIDED_TAIL).cast()) };
        // Release: the entry must be visible before the tail that covers it.
        tail.store(self.tail, Ordering::Release);
    }
}

/// Memory for one `statx(2)` answer. Behind a raw pointer, because the kernel writes it while the op rests in its slot.
#[derive(Debug)]
pub(crate) struct StatusBuffer(NonNull<libc::statx>);

impl StatusBuffer {
    pub(crate) fn new() -> Self {
        // SAFETY: `struct statx` consists of integers; all zeroes is a value of it.
        let zeroed: libc::statx = unsafe { std::mem::zeroed() };
        Self(NonNull::from(Box::leak(Box::new(zeroed))))
    }

    pub(crate) fn address(&self) -> *mut libc::statx {
        self.0.as_ptr()
    }

    /// What the kernel wrote. To be called after the final completion only.
    pub(crate) fn read(&self) -> FileStatus {
        // SAFETY: the allocation lives as long as self, was zeroed at first, and the kernel has ended its write.
        let status = unsafe { self.0.read() };
        let moment = |at: libc::statx_timestamp| Timestamp { seconds: at.tv_sec, nanoseconds: at.tv_nsec };
        FileStatus {
            device: libc::makedev(status.stx_dev_major, status.stx_dev_minor),
            mode: u32::from(status.stx_mode),
            links: status.stx_nlink,
            user: status.stx_uid,
            group: status.stx_gid,
            special_device: libc::makedev(status.stx_rdev_major, status.stx_rdev_minor),
            block_size: status.stx_blksize,
            inode: status.stx_ino,
            size: status.stx_size,
            blocks: status.stx_blocks,
            accessed: moment(status.stx_atime),
            modified: moment(status.stx_mtime),
            changed: moment(status.stx_ctime),
            born: moment(status.stx_btime),
        }
    }
}

impl Drop for StatusBuffer {
    fn drop(&mut self) {
        // SAFETY: the pointer came out of a box in `new` and is given back once.
        drop(unsafe { Box::from_raw(self.0.as_ptr()) });
    }
}

/// One message for `sendmsg(2)` or `recvmsg(2)`: header, parts and address. Behind a raw pointer, because the kernel reads and writes it
/// while the op rests in its slot, and the header points at the rest.
#[derive(Debug)]
pub(crate) struct MessageBuffer(NonNull<Message>);

/// Laid out so that the header comes first: a pointer to the message is one to its header.
#[derive(Debug)]
#[repr(C)]
struct Message {
    header: libc::msghdr,
    parts: Vec<libc::iovec>,
    address: EncodedAddress,
}

impl MessageBuffer {
    /// A message to be sent, to `address` if the socket does not know where.
    pub(crate) fn sending(parts: Vec<libc::iovec>, address: Option<&Address>) -> Self {
        match address.map(Address::encode) {
            Some(encoded) => Self::new(parts, encoded, encoded.length()),
            None => Self::new(parts, EncodedAddress::EMPTY, 0),
        }
    }

    /// Room for a message, and for the address of who sends it.
    pub(crate) fn receiving(parts: Vec<libc::iovec>) -> Self {
        Self::new(parts, EncodedAddress::EMPTY, EncodedAddress::SIZE as u32)
    }

    fn new(parts: Vec<libc::iovec>, address: EncodedAddress, address_length: u32) -> Self {
        // SAFETY: `struct msghdr` consists of integers and pointers, and of padding with some C libraries; all zeroes is a value of it.
        let header: libc::msghdr = unsafe { std::mem::zeroed() };
        let message = NonNull::from(Box::leak(Box::new(Message { header, parts, address })));
        // SAFETY: just made, and known to nobody else until this function returns.
        let Message { header, parts, address } = unsafe { &mut *message.as_ptr() };
        header.msg_iov = parts.as_mut_ptr();
        // A usize or an int, as the C library has it.
        header.msg_iovlen = parts.len() as _;
        if address_length > 0 {
            header.msg_name = ptr::from_mut(address).cast();
            header.msg_namelen = address_length;
        }
        Self(message)
    }

    pub(crate) fn header(&self) -> *mut libc::msghdr {
        self.0.as_ptr().cast()
    }

    /// Who sent the message, and whether it was cut short. To be called after the final completion only.
    pub(crate) fn received(&self) -> (Option<Address>, bool) {
        // SAFETY: the allocation lives as long as self, and the kernel has ended its writes.
        let message = unsafe { self.0.as_ref() };
        let length = (message.header.msg_namelen as usize).min(EncodedAddress::SIZE);
        (Address::decode(&message.address.bytes()[..length]), message.header.msg_flags & libc::MSG_TRUNC != 0)
    }
}

impl Drop for MessageBuffer {
    fn drop(&mut self) {
        // SAFETY: the pointer came out of a box in `new` and is given back once.
        drop(unsafe { Box::from_raw(self.0.as_ptr()) });
    }
}

/// An address as rustix takes it.
pub(crate) fn socket_address(address: &EncodedAddress) -> SocketAddrAny {
    // SAFETY: the bytes were written by `Address::encode`: a valid address of that length, in memory that is aligned for it.
    unsafe { SocketAddrAny::read(address.address().cast(), address.length()) }
}

/// The bytes of an address that the kernel gave.
pub(crate) fn socket_address_bytes(address: &SocketAddrAny) -> Vec<u8> {
    // SAFETY: rustix promises that many initialized bytes, and they are copied at once.
    unsafe { std::slice::from_raw_parts(address.as_ptr().cast::<u8>(), address.addr_len() as usize) }.to_vec()
}

impl Proactor {
    /// Makes memory of the caller's known as a pinned block, idle. The block ends by [`unpin_block`](Proactor::unpin_block).
    ///
    /// # Errors
    ///
    /// A length of 0 or of 4 GiB and more.
    ///
    /// # Safety
    ///
    /// `length` bytes from `address` on must stay valid for reads and writes, and no reference into them may be relied on, until
    /// `unpin_block` has succeeded, or the proactor has been dropped with nothing left in flight (see [`drain`](Proactor::drain): with ops
    /// remaining, the memory must live for ever).
    pub unsafe fn pin_block(&mut self, address: NonNull<u8>, length: usize) -> Result<BlockId, MemoryError> {
        self.refuse_if_closed()?;
        self.memory.pin(address, length)
    }

    /// Sends what a socket takes at once from memory that stays the caller's: the kernel has copied it when this returns (`send(2)`, without
    /// waiting). How many bytes those were. Nothing goes through the ring, so the caller sees to it that no send of this socket is in
    /// flight.
    ///
    /// # Errors
    ///
    /// An errno, positive: `EBADF`, `ENOTSOCK`, `EAGAIN` where nothing could be taken, and those of the connection.
    ///
    /// # Safety
    ///
    /// `length` bytes from `address` on must be valid for reads for the time of the call.
    pub unsafe fn send_now(&self, descriptor: DescriptorId, address: NonNull<u8>, length: usize) -> Result<usize, i32> {
        let socket = self.socket(descriptor)?.as_raw_fd();
        // SAFETY: as the caller promises.
        unsafe { ring::send_now(socket, address, length) }
    }
}

#[cfg(test)]
mod tests {
    use super::{HUGE_PAGE, Mapping, PAGE, ProvidedRing};

    #[test]
    fn a_mapping_is_aligned_rounded_up_and_zeroed() {
        for (length, huge_pages, expected, alignment) in [
            (1, false, PAGE, PAGE),
            (PAGE + 1, false, 2 * PAGE, PAGE),
            (1, true, HUGE_PAGE, HUGE_PAGE),
            (HUGE_PAGE, true, HUGE_PAGE, HUGE_PAGE),
        ] {
            let mapping = Mapping::anonymous(length, huge_pages).unwrap();
            assert_eq!(mapping.length(), expected);
            assert_eq!(mapping.address().as_ptr().align_offset(alignment), 0);
            // SAFETY: the last byte of a mapping that only this test knows.
            assert_eq!(unsafe { mapping.address().as_ptr().wrapping_add(expected - 1).read() }, 0);
        }
    }

    #[test]
    fn an_impossible_length_is_an_errno() {
        assert_eq!(Mapping::anonymous(usize::MAX, false).unwrap_err(), libc::ENOMEM);
        assert_eq!(Mapping::anonymous(usize::MAX / 2, true).unwrap_err(), libc::ENOMEM);
        assert_eq!(ProvidedRing::new(40_000).unwrap_err(), libc::EINVAL);
    }

    #[test]
    fn a_provided_block_lands_behind_the_others_and_moves_the_tail() {
        let mut ring = ProvidedRing::new(2).unwrap();
        let block = ring.address();
        for id in 0..3 {
            ring.provide(block, 4096, id);
        }
        let word = |offset: usize| {
            // SAFETY: two bytes inside the ring's mapping, which only this test knows.
            u16::from_ne_bytes(unsafe { ring.address().as_ptr().wrapping_add(offset).cast::<[u8; 2]>().read() })
        };
        assert_eq!((word(12), word(14), word(28)), (2, 3, 1), "third block over the first, tail 3, second block untouched");
    }
}
