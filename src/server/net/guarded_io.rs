//! Guarded I/O: a connection as hyper reads and writes it.

use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::conn_state::{ConnState, Phase};

/// Notes in the connection's state what hyper reads and writes.
pub struct GuardedIo(pub Rc<ConnState>);

impl AsyncRead for GuardedIo {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let filled_before = buffer.filled().len();
        let polled = self.0.poll_read(context, buffer);
        if let Poll::Ready(Ok(())) = polled {
            self.0.note_read(buffer.filled().get(filled_before..).unwrap_or_default());
        }
        polled
    }
}

impl AsyncWrite for GuardedIo {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.0.withholds_write() {
            return Poll::Ready(Ok(bytes.len()));
        }
        let polled = self.0.poll_write(context, bytes);
        self.0.note_write(&polled);
        polled
    }

    /// hyper flushes when it has written the whole answer.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.0.phase() == Phase::Write {
            self.0.enter(Phase::Idle);
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.0.has_withheld() {
            // The client's answer is still to come.
            return Poll::Ready(Ok(()));
        }
        self.0.poll_shutdown(context)
    }
}
