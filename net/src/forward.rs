//! The traits of `futures-io` for streams and their halves: each is a connection, and a place in its wait queue for either
//! direction.

/// `AsyncRead` for a type with a `socket` that waits in the slot `$slot`.
macro_rules! forward_read {
    ($stream:ty, $slot:ident) => {
        impl futures_io::AsyncRead for $stream {
            fn poll_read(
                self: std::pin::Pin<&mut Self>,
                cx: &mut std::task::Context<'_>,
                buf: &mut [u8],
            ) -> std::task::Poll<std::io::Result<usize>> {
                let this = self.get_mut();
                this.socket.poll_read(cx, &mut this.$slot, buf)
            }

            fn poll_read_vectored(
                self: std::pin::Pin<&mut Self>,
                cx: &mut std::task::Context<'_>,
                bufs: &mut [std::io::IoSliceMut<'_>],
            ) -> std::task::Poll<std::io::Result<usize>> {
                let this = self.get_mut();
                this.socket.poll_read_vectored(cx, &mut this.$slot, bufs)
            }
        }
    };
}

/// `AsyncWrite` for a type with a `socket` that waits in the slot `$slot`.
macro_rules! forward_write {
    ($stream:ty, $slot:ident) => {
        impl futures_io::AsyncWrite for $stream {
            fn poll_write(
                self: std::pin::Pin<&mut Self>,
                cx: &mut std::task::Context<'_>,
                buf: &[u8],
            ) -> std::task::Poll<std::io::Result<usize>> {
                let this = self.get_mut();
                this.socket.poll_write(cx, &mut this.$slot, buf)
            }

            fn poll_write_vectored(
                self: std::pin::Pin<&mut Self>,
                cx: &mut std::task::Context<'_>,
                bufs: &[std::io::IoSlice<'_>],
            ) -> std::task::Poll<std::io::Result<usize>> {
                let this = self.get_mut();
                this.socket.poll_write_vectored(cx, &mut this.$slot, bufs)
            }

            /// Nothing is buffered here: what was written is the stack's.
            fn poll_flush(
                self: std::pin::Pin<&mut Self>,
                _cx: &mut std::task::Context<'_>,
            ) -> std::task::Poll<std::io::Result<()>> {
                std::task::Poll::Ready(Ok(()))
            }

            /// Closes the writing direction, for TCP with a FIN; the other stays open.
            fn poll_close(
                self: std::pin::Pin<&mut Self>,
                _cx: &mut std::task::Context<'_>,
            ) -> std::task::Poll<std::io::Result<()>> {
                std::task::Poll::Ready(self.socket.close())
            }
        }
    };
}

pub(crate) use {forward_read, forward_write};
