package archive

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"

	"github.com/klauspost/compress/zstd"
)

const (
	// MaxFrameBytes bounds a frame as it is stored. A record of Firehose holds 1,000 KiB (Firehose
	// developer guide, "Quota") and an SQS message 1 MiB, in base64, which adds a third.
	MaxFrameBytes = 700 << 10
	// MaxLinesBytes bounds the lines of one frame: what a reader must have in memory. The largest
	// line is that of a body of 1 MiB in base64 and a context of as much.
	MaxLinesBytes = 8 << 20
	// frameLines is how many bytes of lines a frame has, unless one line has more. Events compress
	// to a fifth, so that most frames are far below MaxFrameBytes.
	frameLines = 2_500_000
	// partBytes is how much of a record's line a part has: in base64 it fits a frame even where
	// zstd finds nothing to compress.
	partBytes = 500 << 10
	// maxParts bounds the parts of a record that a reader joins.
	maxParts = 1000
)

// A Frame is one zstd frame of whole lines. It is at most MaxFrameBytes long. A concatenation of
// frames is a valid zstd stream.
type Frame struct {
	Data    []byte
	Records int   // that begin in it: a record in several parts counts where its first part is
	Lines   int   // bytes of its lines
	Owners  []int // of its lines, in their order, each once for lines that follow one another
}

// A Packer packs records into frames. It reuses its buffers, and is not safe for concurrent use.
// One that is kept costs no set-up of zstd again.
type Packer struct {
	zstd   *zstd.Encoder
	lines  []byte
	marks  []mark // of the lines in lines
	frames []Frame
}

// mark is a line: where it ends, and whose it is.
type mark struct {
	end, owner int
	first      bool // it is a record, or its first part
}

// NewPacker returns a Packer.
func NewPacker() (*Packer, error) {
	z, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithWindowSize(1<<20),
		zstd.WithLowerEncoderMem(true), zstd.WithEncoderConcurrency(1))
	if err != nil {
		return nil, fmt.Errorf("set up zstd: %w", err)
	}
	return &Packer{zstd: z}, nil
}

// Add adds a record. The owner is the caller's own: a frame names those of its records, so that the
// caller knows what a frame that could not be archived belongs to.
func (p *Packer) Add(r *Record, owner int) {
	start := len(p.lines)
	p.lines = AppendRecord(p.lines, r)
	p.added(start, owner)
}

// AddLine adds a line of another frame, without its line break, as it is.
func (p *Packer) AddLine(line []byte, owner int) {
	start := len(p.lines)
	p.lines = append(append(p.lines, line...), '\n')
	p.added(start, owner)
}

// added makes room after the line from start on.
func (p *Packer) added(start, owner int) {
	p.marks = append(p.marks, mark{len(p.lines), owner, true})
	if len(p.lines) <= frameLines {
		return
	}
	if start > 0 { // what came before is full
		p.pack(p.lines[:start], p.marks[:len(p.marks)-1], 0)
		p.lines = p.lines[:copy(p.lines, p.lines[start:])]
		p.marks = append(p.marks[:0], mark{len(p.lines), owner, true})
	}
	if len(p.lines) > frameLines {
		p.flush()
	}
}

// Frames returns the frames of the records that were added since the last call, in their order.
func (p *Packer) Frames() []Frame {
	p.flush()
	frames := p.frames
	p.frames = nil
	return frames
}

func (p *Packer) flush() {
	p.pack(p.lines, p.marks, 0)
	p.lines, p.marks = p.lines[:0], p.marks[:0]
}

// pack makes lines into one frame, or halves them until each half fits one. The marks count from
// base.
func (p *Packer) pack(lines []byte, marks []mark, base int) {
	if len(marks) == 0 {
		return
	}
	if len(lines) <= MaxLinesBytes {
		if data := p.zstd.EncodeAll(lines, nil); len(data) <= MaxFrameBytes {
			p.frames = append(p.frames, newFrame(data, len(lines), marks))
			return
		}
	}
	if len(marks) == 1 {
		p.packParts(lines, marks[0].owner)
		return
	}
	half := len(marks) / 2
	cut := marks[half-1].end
	p.pack(lines[:cut-base], marks[:half], base)
	p.pack(lines[cut-base:], marks[half:], cut)
}

func newFrame(data []byte, lines int, marks []mark) Frame {
	f := Frame{Data: data, Lines: lines}
	for _, m := range marks {
		if m.first {
			f.Records++
		}
		if n := len(f.Owners); n == 0 || f.Owners[n-1] != m.owner {
			f.Owners = append(f.Owners, m.owner)
		}
	}
	return f
}

// packParts makes a frame of each part of a line.
func (p *Packer) packParts(line []byte, owner int) {
	record, _ := ParseRecord(line) // AppendRecord wrote it
	sum := sha256.Sum256(line)
	part := Record{Time: record.Time, Outcome: record.Outcome, Whole: hex.EncodeToString(sum[:16])}
	part.Parts = (len(line) + partBytes - 1) / partBytes
	for i := range part.Parts {
		part.Part = i + 1
		part.data = line[i*partBytes : min(len(line), (i+1)*partBytes)]
		text := AppendRecord(nil, &part)
		p.frames = append(p.frames, newFrame(p.zstd.EncodeAll(text, nil), len(text), []mark{{len(text), owner, i == 0}}))
	}
}
