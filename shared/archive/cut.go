package archive

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
)

// What RFC 8878 (3.1.1, 3.1.2) says of a zstd stream's structure, by which frames are found without
// decompressing them.
const (
	frameMagic     = "\x28\xb5\x2f\xfd"
	skippableMagic = 0x184D2A50 // its last four bits are any
	// maxStored bounds a frame as it is stored, whoever wrote it: what zstd can't compress grows by
	// a little.
	maxStored = MaxLinesBytes + 64<<10
	// maxBlocks bounds the blocks of a frame, so that damage does not cost more time than data.
	maxBlocks = 1 << 14
	maxBlock  = 128 << 10
	// chunk is how much is read at once.
	chunk = 16 << 10
)

var (
	errNoFrame = errors.New("no zstd frame begins here")
	errCutOff  = errors.New("the object ends in the middle of a frame")
	errTooLong = errors.New("the frame is larger than the archive's are")
)

// frameSize returns the size of the frame that b begins with. With need > 0 it can't be known
// before b has that many bytes.
func frameSize(b []byte) (size, need int, err error) {
	const shortest = 8
	if len(b) < shortest {
		if n := min(len(b), len(frameMagic)); string(b[:n]) != frameMagic[:n] && !isSkippable(b) {
			return 0, 0, errNoFrame
		}
		return 0, shortest, nil
	}
	if isSkippable(b) {
		return bounded(b, shortest+int(binary.LittleEndian.Uint32(b[4:])))
	}
	if string(b[:len(frameMagic)]) != frameMagic {
		return 0, 0, errNoFrame
	}
	at, checksum, err := frameHeader(b[4])
	if err != nil {
		return 0, 0, err
	}
	for range maxBlocks {
		if len(b) < at+blockHeader {
			return 0, at + blockHeader, nil
		}
		size, last, err := block(b[at:])
		if err != nil {
			return 0, 0, err
		}
		if at += size; at > maxStored {
			return 0, 0, errTooLong
		}
		if last {
			return bounded(b, at+checksum)
		}
	}
	return 0, 0, errTooLong
}

const blockHeader = 3

// block returns the size of a block with its header, by the header, and whether it is the frame's
// last.
func block(b []byte) (size int, last bool, err error) {
	header := int(b[0]) | int(b[1])<<8 | int(b[2])<<16
	last, size = header&1 == 1, header>>3
	kind := header >> 1 & 3
	switch {
	case kind == 3 || size > maxBlock:
		return 0, false, errNoFrame
	case kind == 1: // one byte that is repeated
		size = 1
	}
	return blockHeader + size, last, nil
}

// frameHeader returns the size of a frame's header and of its checksum, by its descriptor.
func frameHeader(descriptor byte) (header, checksum int, err error) {
	if descriptor&0x08 != 0 { // reserved
		return 0, 0, errNoFrame
	}
	single := descriptor&0x20 != 0
	header = 5 + [...]int{0, 1, 2, 4}[descriptor&3] + [...]int{0, 2, 4, 8}[descriptor>>6]
	if !single || descriptor>>6 == 0 { // a window, or a content size of one byte
		header++
	}
	if descriptor&0x04 != 0 {
		checksum = 4
	}
	return header, checksum, nil
}

func bounded(b []byte, size int) (int, int, error) {
	switch {
	case size > maxStored:
		return 0, 0, errTooLong
	case len(b) < size:
		return 0, size, nil
	}
	return size, 0, nil
}

func isSkippable(b []byte) bool {
	return len(b) >= 4 && binary.LittleEndian.Uint32(b)&^0xf == skippableMagic
}

// A cutter cuts a stream into frames by their structure. What is between them, or is no frame, is
// damage.
type cutter struct {
	r      io.Reader
	buf    []byte
	at     int   // in buf: what stands before it is done
	offset int64 // of at in the object
	ended  error // why r gives no more
	sure   bool  // another frame or the end follows the frame that next has returned: its size is right
}

func (c *cutter) rest() []byte { return c.buf[c.at:] }

// next returns the next frame, which is valid until the next call, with its offset. It returns
// io.EOF at the end, and a *DamageError for what is no frame, after which it goes on. After
// errTooLong the frame must be read by stream.
func (c *cutter) next() (frame []byte, offset int64, err error) {
	for {
		frame, err := c.frame()
		switch {
		case c.ended != nil && c.ended != io.EOF && err != nil:
			return nil, 0, c.ended
		case err == io.EOF:
			return nil, 0, err
		case err == errTooLong && !isSkippable(c.rest()):
			return nil, c.offset, err
		case err != nil:
			return nil, 0, c.skip(err)
		}
		size := len(frame)
		c.fill(size + len(frameMagic)) // which moves the frame
		frame, offset = c.rest()[:size:size], c.offset
		c.advance(size)
		if next := c.rest(); !isSkippable(frame) {
			c.sure = len(next) == 0 || isSkippable(next) || bytes.HasPrefix(next, []byte(frameMagic))
			return frame, offset, nil
		}
	}
}

// unread gives the last n bytes of the frame that next has returned once more.
func (c *cutter) unread(n int) { c.advance(-n) }

// frame returns the frame that begins here.
func (c *cutter) frame() ([]byte, error) {
	for {
		if len(c.rest()) == 0 && !c.fill(1) {
			return nil, io.EOF
		}
		size, need, err := frameSize(c.rest())
		switch {
		case err != nil:
			return nil, err
		case need == 0:
			return c.rest()[:size:size], nil
		case !c.fill(need):
			return nil, errCutOff
		}
	}
}

// skip moves to the next place at which a frame begins, or to the end, and says what is lost.
func (c *cutter) skip(why error) error {
	damage := &DamageError{Offset: c.offset, Err: why}
	for c.advance(1); ; {
		i := bytes.Index(c.rest(), []byte(frameMagic))
		if i < 0 {
			c.advance(max(0, len(c.rest())-len(frameMagic)+1)) // the magic may be cut in two
			if c.fill(len(c.rest()) + 1) {
				continue
			}
			c.advance(len(c.rest()))
			break
		}
		c.advance(i)
		if _, err := c.frame(); err == nil {
			break
		}
		c.advance(1)
	}
	damage.Bytes = c.offset - damage.Offset
	return damage
}

func (c *cutter) advance(n int) {
	c.at += n
	c.offset += int64(n)
}

// fill reads until the rest has n bytes, and reports whether it has.
func (c *cutter) fill(n int) bool {
	for len(c.rest()) < n && c.ended == nil {
		if cap(c.buf)-len(c.buf) < chunk {
			size := max(n, len(c.rest())+chunk)
			moved := c.buf[:0]
			if cap(moved) < size+chunk || cap(moved) > 4*(size+chunk) {
				moved = make([]byte, 0, max(size+2*chunk, 2*len(c.rest()))) // a large frame is not moved often
			}
			c.buf = append(moved, c.rest()...)
			c.at = 0
		}
		read, err := c.r.Read(c.buf[len(c.buf):cap(c.buf)])
		c.buf = c.buf[:len(c.buf)+read]
		c.ended = err
	}
	return len(c.rest()) >= n
}

// End returns where the last whole frame of an object ends, if all that follows is the beginning of
// another: what a writer that was killed leaves. Otherwise it returns the object's size.
func End(object io.Reader) (int64, error) {
	c := cutter{r: object}
	for {
		_, _, err := c.next()
		damage, ok := errors.AsType[*DamageError](err)
		switch {
		case ok && errors.Is(damage.Err, errCutOff) && len(c.rest()) == 0:
			return damage.Offset, nil
		case err == io.EOF:
			return c.offset, nil
		case err != nil && !ok:
			return 0, err
		}
	}
}
