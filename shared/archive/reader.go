package archive

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"iter"

	"github.com/klauspost/compress/zstd"
)

// A DamageError says which bytes of an object can't be read. What follows them can.
type DamageError struct {
	Offset, Bytes int64 // in the object
	Err           error
}

func (e *DamageError) Error() string {
	return fmt.Sprintf("%d bytes from byte %d on can't be read: %v", e.Bytes, e.Offset, e.Err)
}

func (e *DamageError) Unwrap() error { return e.Err }

// A Block is what one frame of an object holds.
type Block struct {
	Offset int64 // of the frame in the object
	Bytes  int64 // of the frame
	Data   []byte
	// Partial says that the frame has more lines than MaxLinesBytes, as a [Packer] never makes it,
	// so that its lines come in several blocks. Bytes is then 0 in all but the last.
	Partial bool
}

// Lines returns the block's lines without their line breaks. Empty lines are left out.
func (b Block) Lines() iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		for rest := b.Data; len(rest) > 0; {
			line := rest
			if end := bytes.IndexByte(rest, '\n'); end >= 0 {
				line, rest = rest[:end], rest[end+1:]
			} else {
				rest = nil
			}
			if len(line) > 0 && !yield(line) {
				return
			}
		}
	}
}

// A Reader reads an object frame by frame. It is not safe for concurrent use.
type Reader struct {
	cut  cutter
	zstd *zstd.Decoder
	data []byte
	big  *bigFrame // is being read
}

// NewReader returns a Reader of an object that is read from the byte offset on. [Reader.Close] must
// release it.
func NewReader(object io.Reader, offset int64) (*Reader, error) {
	z, err := newDecoder(1)
	if err != nil {
		return nil, err
	}
	return &Reader{cut: cutter{r: object, offset: offset}, zstd: z}, nil
}

func newDecoder(concurrency int) (*zstd.Decoder, error) {
	z, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(concurrency), zstd.WithDecoderLowmem(true),
		zstd.WithDecoderMaxMemory(MaxLinesBytes))
	if err != nil {
		return nil, fmt.Errorf("set up zstd: %w", err)
	}
	return z, nil
}

// Close releases the Reader. It does not close the object.
func (r *Reader) Close() {
	r.zstd.Close()
	r.closeBig()
}

// Next returns the next frame's block, which is valid until the next call, or io.EOF at the end.
// After a *DamageError it goes on with the next frame that can be read; any other error ends the
// object.
func (r *Reader) Next() (Block, error) {
	if r.big != nil {
		return r.nextPiece()
	}
	frame, offset, err := r.cut.next()
	if err == errTooLong {
		return r.openBig(&frameStream{cut: &r.cut}, offset)
	}
	if err != nil {
		return Block{}, err
	}
	return r.decode(frame, offset)
}

// decode decompresses the frame that the cutter has just returned.
func (r *Reader) decode(frame []byte, offset int64) (_ Block, err error) {
	r.data, err = r.zstd.DecodeAll(frame, r.data[:0])
	switch {
	case err == nil:
		return Block{Offset: offset, Bytes: int64(len(frame)), Data: r.data}, nil
	case errors.Is(err, zstd.ErrDecoderSizeExceeded):
		return r.openBig(bytes.NewReader(frame), offset)
	}
	lost := len(frame)
	// A damaged size may have made the frame swallow others.
	if i := bytes.Index(frame[1:], []byte(frameMagic)); i >= 0 {
		lost = i + 1
		r.cut.unread(len(frame) - lost)
	}
	return Block{}, &DamageError{offset, int64(lost), err}
}
