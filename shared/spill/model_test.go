package spill

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"testing"
	"testing/synctest"

	"github.com/spillwayhq/spillway/shared/frame"
)

// A model does what a log must do, record by record, without a disk.
type model struct {
	t       *testing.T
	rnd     *rand.Rand
	options Options
	log     *Log
	content map[uint64][]byte
	live    []uint64        // appended and not known to be lost or done, in order
	unread  []uint64        // of these, those that the open log has yet to hand out, in order
	read    []Record        // handed out and not done
	done    map[uint64]bool // may be handed out again after a restart, or not
	damaged map[uint64]bool // in a damaged part of a file: may be lost
	headers map[string]bool // files with one damaged header
	next    uint64
	counts  map[string]int
}

func (m *model) append() {
	var call [][]byte
	var size int64
	first := m.next
	for range 1 + m.rnd.IntN(4) {
		b := numbered(m.next, 8+m.rnd.IntN(1<<m.rnd.IntN(12)))
		if m.rnd.IntN(5) == 0 { // a record with the beginning of a frame of another log in it
			b = append(b, frame.Append(nil, m.log.store.salt+1, 0, 0, b)[:m.rnd.IntN(frame.Overhead+8)]...)
		}
		m.content[m.next] = b
		m.next++
		call = append(call, b)
		size += int64(len(b)) + frame.Overhead
	}
	before := m.log.Stats().Bytes
	err := m.log.Append(call...)
	switch {
	case err == nil:
		for id := first; id < m.next; id++ {
			m.live, m.unread = append(m.live, id), append(m.unread, id)
		}
		if after := m.log.Stats().Bytes; after > m.options.MaxBytes || after < before+size {
			m.t.Fatalf("%d bytes before, %d appended, %d after", before, size, after)
		}
	case errors.Is(err, ErrFull):
		m.counts["full"]++
		if before+size+frame.HeadersBytes <= m.options.MaxBytes {
			m.t.Fatalf("full with %d of %d bytes and %d to append", before, m.options.MaxBytes, size)
		}
	default:
		m.t.Fatal(err)
	}
}

// readAll reads all records and checks them against the model.
func (m *model) readAll() {
	for _, r := range rest(m.t, m.log) {
		id := idOf(r.Data)
		if !bytes.Equal(r.Data, m.content[id]) {
			m.t.Fatalf("record %d was changed", id)
		}
		// a record that was skipped must be damaged, or done before the last restart
		for len(m.unread) > 0 && m.unread[0] != id {
			m.mayBeMissing(m.unread[0])
			m.unread = m.unread[1:]
		}
		if len(m.unread) == 0 {
			m.t.Fatalf("record %d was handed out twice, out of order, or was never appended", id)
		}
		m.unread = m.unread[1:]
		m.read = append(m.read, r)
	}
	for _, id := range m.unread {
		m.mayBeMissing(id)
	}
	m.unread = nil
	waiting := map[uint64]bool{}
	for _, r := range m.read {
		waiting[idOf(r.Data)] = true
	}
	if s := m.log.Stats(); s.Records != len(waiting) || s.Unread != 0 || s.Oldest.IsZero() != (len(waiting) == 0) {
		m.t.Fatalf("%d records are read and not done: %+v", len(waiting), s)
	}
}

func (m *model) mayBeMissing(id uint64) {
	switch {
	case m.damaged[id]:
		m.counts["lost to damage"]++
		m.live = slices.DeleteFunc(m.live, func(other uint64) bool { return other == id })
	case m.done[id]:
	default:
		m.t.Fatalf("record %d is lost", id)
	}
}

func (m *model) finishSome() {
	m.rnd.Shuffle(len(m.read), func(i, j int) { m.read[i], m.read[j] = m.read[j], m.read[i] })
	n := m.rnd.IntN(len(m.read) + 1)
	m.log.Done(m.read[:n]...)
	for _, r := range m.read[:n] {
		m.done[idOf(r.Data)] = true
	}
	m.read = m.read[n:]
}

func (m *model) restart(killed bool) {
	clean := len(m.unread)+len(m.read) == 0 && !killed
	if killed {
		crash(m.t, m.log)
	} else {
		closeLog(m.t, m.log)
	}
	if files := segmentFiles(m.t, m.options.Dir); clean && len(files) != 0 {
		m.t.Fatalf("all records were done before Close, and %v remains", files)
	}
	if killed && m.rnd.IntN(2) == 0 {
		m.damage()
	}
	m.log = open(m.t, m.options)
	m.read = nil
	m.unread = slices.Clone(m.live)
}

// damage flips a bit of a segment, or cuts its end off.
func (m *model) damage() {
	files := segmentFiles(m.t, m.options.Dir)
	if len(files) == 0 {
		return
	}
	path := files[m.rnd.IntN(len(files))]
	b, err := os.ReadFile(path)
	if err != nil {
		m.t.Fatal(err)
	}
	frames := places(m.t, path)
	if len(frames) == 0 || frames[len(frames)-1].to != len(b) {
		return // it is damaged already: places does not return what follows the damage
	}
	at := m.rnd.IntN(len(b))
	if at < frame.HeadersBytes {
		if m.headers[path] {
			return // one damaged header costs no record, two do
		}
		m.headers[path] = true
	}
	if at >= frame.HeadersBytes && m.rnd.IntN(3) == 0 {
		b = b[:at]
		m.counts["cuts"]++
		for _, f := range frames {
			if f.to > at {
				m.damaged[f.id] = true
			}
		}
	} else {
		b[at] ^= 1 << m.rnd.IntN(8)
		m.counts["flips"]++
		for _, f := range frames {
			if f.from <= at && at < f.to {
				m.damaged[f.id] = true
			}
		}
	}
	if err := os.WriteFile(path, b, 0o600); err != nil {
		m.t.Fatal(err)
	}
}

var seeds = flag.Int("seeds", 20, "how many random runs of the log are compared with the model")

func TestLogBehavesAsAModelUnderRandomCallsCrashesAndDamage(t *testing.T) {
	t.Parallel()
	counts := map[string]int{}
	for seed := range uint64(*seeds) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := &model{
					t: t, rnd: rand.New(rand.NewPCG(seed, 1)), counts: counts,
					content: map[uint64][]byte{}, done: map[uint64]bool{}, damaged: map[uint64]bool{}, headers: map[string]bool{},
				}
				m.options = Options{Dir: t.TempDir(), MaxBytes: 20_000 + m.rnd.Int64N(100_000),
					SegmentBytes: 500 + m.rnd.Int64N(4000)}
				m.log = open(t, m.options)
				for range 150 {
					switch p := m.rnd.IntN(100); {
					case p < 60:
						m.append()
					case p < 78:
						m.readAll()
					case p < 92:
						m.finishSome()
					case p < 96:
						m.restart(false)
					default:
						m.restart(true)
					}
				}
				m.readAll()
				m.log.Done(m.read...)
				m.read = nil
				if s := m.log.Stats(); s.Records != 0 || s.SetAside != 0 || s.Bytes > m.options.SegmentBytes {
					t.Errorf("with all records done: %+v", s)
				}
				m.restart(false)
				closeLog(t, m.log)
				m.counts["records"] += int(m.next)
			})
		})
	}
	t.Logf("%v", counts)
	for _, what := range []string{"full", "cuts", "flips", "lost to damage"} {
		if counts[what] == 0 {
			t.Errorf("this never happened: %s", what)
		}
	}
}
