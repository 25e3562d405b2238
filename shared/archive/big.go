package archive

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/zstd"
)

const (
	// maxWindow is what the zstd command takes without an option, too.
	maxWindow = 128 << 20
	// pieceBytes is how much of a big frame is given at once, unless one line has more.
	pieceBytes = 1 << 20
)

var errLongLine = fmt.Errorf("a line has more than %d MiB", MaxLinesBytes>>20)

// A bigFrame is a frame with more lines than the archive's own have: another program has written
// the object anew. It is decompressed piece by piece.
type bigFrame struct {
	source io.Reader // its stored bytes, and no more
	zstd   *zstd.Decoder
	offset int64
	rest   []byte // the beginning of a line
	ended  bool
}

func (r *Reader) openBig(source io.Reader, offset int64) (Block, error) {
	z, err := zstd.NewReader(source, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
		zstd.WithDecoderMaxWindow(maxWindow))
	if err != nil { // the frame's header
		io.Copy(io.Discard, source)
		return Block{}, r.damaged(offset, err)
	}
	r.big = &bigFrame{source: source, zstd: z, offset: offset}
	return r.nextPiece()
}

func (r *Reader) closeBig() {
	if r.big != nil {
		r.big.zstd.Close()
		r.big = nil
	}
}

// nextPiece returns the next lines of the big frame.
func (r *Reader) nextPiece() (Block, error) {
	b := r.big
	var err error
	r.data, err = b.next(r.data[:0])
	piece := Block{Offset: b.offset, Data: r.data, Partial: true}
	if err == nil && !b.ended {
		return piece, nil
	}
	// What the decoder has not read of it still has to be passed over.
	io.Copy(io.Discard, b.source)
	r.closeBig()
	if err != nil {
		return Block{}, r.damaged(b.offset, err)
	}
	piece.Bytes = r.cut.offset - b.offset
	return piece, nil
}

// damaged is why a big frame can't be read: it is damaged, unless the object ended with an error.
func (r *Reader) damaged(offset int64, err error) error {
	if ended := r.cut.ended; ended != nil && ended != io.EOF {
		return ended
	}
	return &DamageError{offset, r.cut.offset - offset, err}
}

// next appends some whole lines.
func (b *bigFrame) next(dst []byte) ([]byte, error) {
	dst = append(dst, b.rest...)
	b.rest = b.rest[:0]
	for {
		start := len(dst)
		dst = append(dst, make([]byte, pieceBytes)...)
		n, err := io.ReadFull(b.zstd, dst[start:])
		dst = dst[:start+n]
		switch {
		case err == io.EOF || errors.Is(err, io.ErrUnexpectedEOF) && n < pieceBytes && b.atEnd():
			b.ended = true
			return dst, nil
		case err != nil:
			return nil, err
		}
		if end := bytes.LastIndexByte(dst, '\n') + 1; end > 0 {
			b.rest = append(b.rest, dst[end:]...)
			return dst[:end], nil
		}
		if len(dst) > MaxLinesBytes {
			return nil, errLongLine
		}
	}
}

// atEnd reports whether the decoder has given all of the frame.
func (b *bigFrame) atEnd() bool {
	n, err := b.zstd.Read(make([]byte, 1))
	return n == 0 && err == io.EOF
}

// A frameStream gives the stored bytes of the frame at which its cutter is, however many.
type frameStream struct {
	cut      *cutter
	left     int // of what is passed on as it is
	begun    bool
	last     bool // block
	checksum int
	err      error
}

func (s *frameStream) Read(p []byte) (int, error) {
	for s.left == 0 && s.err == nil {
		s.next()
	}
	if s.err != nil {
		return 0, s.err
	}
	if !s.cut.fill(1) {
		s.err = s.cutOff()
		return 0, s.err
	}
	n := copy(p[:min(len(p), s.left)], s.cut.rest())
	s.cut.advance(n)
	s.left -= n
	return n, nil
}

// next looks at the header of what comes next.
func (s *frameStream) next() {
	switch {
	case !s.begun:
		s.begun = true
		if !s.cut.fill(len(frameMagic) + 1) {
			s.err = s.cutOff()
			return
		}
		s.left, s.checksum, s.err = frameHeader(s.cut.rest()[len(frameMagic)])
	case s.last && s.checksum > 0:
		s.left, s.checksum = s.checksum, 0
	case s.last:
		s.err = io.EOF
	case !s.cut.fill(blockHeader):
		s.err = s.cutOff()
	default:
		s.left, s.last, s.err = block(s.cut.rest())
	}
}

func (s *frameStream) cutOff() error {
	if s.cut.ended != nil && s.cut.ended != io.EOF {
		return s.cut.ended
	}
	return errCutOff
}
