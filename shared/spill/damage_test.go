package spill

import (
	"bytes"
	"encoding/binary"
	"flag"
	"os"
	"slices"
	"testing"
	"testing/synctest"

	"github.com/spillwayhq/spillway/shared/frame"
)

// written returns a segment file with records of several sizes, and their places.
func written(t testing.TB) ([]byte, []place) {
	t.Helper()
	dir := t.TempDir()
	l := open(t, Options{Dir: dir})
	for id, n := range []int{8, 100, 9, 40, 17, 8} {
		record := numbered(uint64(id), n)
		if id == 3 {
			record = append(record, frame.Marker...) // a record may contain one
		}
		if err := l.Append(record); err != nil {
			t.Fatal(err)
		}
	}
	crash(t, l)
	path := segmentFiles(t, dir)[0]
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b, places(t, path)
}

// readBoth writes a segment file and an undamaged one after it, and returns what a Log reads of the
// two, and its Stats.
func readBoth(t *testing.T, dir string, first, second []byte) ([]uint64, Stats) {
	t.Helper()
	for i, b := range [][]byte{first, second} {
		if err := os.WriteFile(segmentPath(dir, uint64(i+1)), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	l := open(t, Options{Dir: dir})
	defer closeLog(t, l)
	got := rest(t, l)
	l.Done(got...)
	return ids(got), l.Stats()
}

func TestSegmentCutAtAnyByteLosesOnlyTheRecordsAfterTheCut(t *testing.T) {
	t.Parallel()
	b, frames := written(t)
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		for cut := range len(b) + 1 {
			var want []uint64
			boundary := cut == frame.HeadersBytes
			for _, f := range frames {
				if f.to <= cut {
					want = append(want, f.id)
				}
				boundary = boundary || f.to == cut
			}
			got, s := readBoth(t, dir, b[:cut], b)
			if !slices.Equal(got, append(want, 0, 1, 2, 3, 4, 5)) {
				t.Fatalf("cut at %d of %d: got %v", cut, len(b), got)
			}
			torn, corrupt := 1, 0
			switch {
			case boundary:
				torn = 0
			case cut < frame.HeadersBytes: // a file that is not the newest once had its header
				torn, corrupt = 0, 1
			}
			if s.Torn != torn || s.Corrupt != corrupt || s.SetAside != 0 || s.Bytes != 0 || s.Segments != 0 {
				t.Fatalf("cut at %d of %d: %+v", cut, len(b), s)
			}
		}
	})
}

var everyBit = flag.Bool("every-bit", false, "flip every bit of a segment, and not only one of each byte")

func TestFlippedBitLosesOnlyItsOwnRecord(t *testing.T) {
	t.Parallel()
	b, frames := written(t)
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		for i := range len(b) * 8 {
			if !*everyBit && i%8 != i/8%8 {
				continue
			}
			flipped := bytes.Clone(b)
			flipped[i/8] ^= 1 << (i % 8)
			var want []uint64
			for _, f := range frames {
				if i/8 < f.from || f.to <= i/8 {
					want = append(want, f.id)
				}
			}
			got, s := readBoth(t, dir, flipped, b)
			if !slices.Equal(got, append(slices.Clone(want), 0, 1, 2, 3, 4, 5)) {
				t.Fatalf("bit %d of byte %d: got %v", i%8, i/8, got)
			}
			if lost := len(frames) - len(want); s.Corrupt+s.Torn != lost || s.SetAside != 0 || s.Segments != 0 {
				t.Fatalf("bit %d of byte %d: %d records are lost, %+v", i%8, i/8, lost, s)
			}
		}
	})
}

func TestStretchOfForeignBytesIsSkipped(t *testing.T) {
	t.Parallel()
	b, frames := written(t)
	stale, _ := written(t) // of another process, and so with another salt
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		for name, hole := range map[string][]byte{"zeros": make([]byte, 4096), "old frames": stale[frame.HeadersBytes:],
			"half a marker": []byte(frame.Marker[:2])} {
			holed := slices.Concat(b[:frames[2].from], hole, b[frames[2].from:])
			got, s := readBoth(t, dir, holed, nil)
			if !slices.Equal(got, []uint64{0, 1, 2, 3, 4, 5}) || s.Corrupt != 1 || s.CorruptBytes != int64(len(hole)) {
				t.Errorf("%s: got %v, %+v", name, got, s)
			}
		}
	})
}

func TestDamagedHeadersLoseOnlyTheirSegment(t *testing.T) {
	t.Parallel()
	b, _ := written(t)
	synctest.Test(t, func(t *testing.T) {
		broken := bytes.Clone(b)
		broken[3] ^= 1
		broken[frame.HeaderBytes+3] ^= 1
		got, s := readBoth(t, t.TempDir(), broken, b)
		if len(got) != 6 || s.SetAside != 1 || s.Bytes != int64(len(b)) {
			t.Errorf("got %v, %+v", got, s)
		}
	})
}

// FuzzSegment checks that opening and reading a segment file with any content ends, hands out only
// what is in the file, and loses no record of the segment after it.
func FuzzSegment(f *testing.F) {
	b := frame.AppendHeaders(nil, 7, 1)
	for id := range uint64(5) {
		data := numbered(id, int(id)*20)
		b = frame.Append(b, 7, int64(id), frame.Checksum(7, data), data)
	}
	long := bytes.Clone(b)
	binary.LittleEndian.PutUint32(long[frame.HeadersBytes+4:], MaxRecordBytes)
	for _, seed := range [][]byte{
		nil, b, b[:len(b)-3], b[:frame.HeadersBytes], b[:frame.HeadersBytes-1], long, make([]byte, 300), bytes.Repeat([]byte(frame.Marker), 50),
		append(bytes.Clone(b[:frame.HeadersBytes]), bytes.Repeat([]byte(frame.Marker), 50)...),
		slices.Concat(b, make([]byte, 100), b[frame.HeadersBytes:]), slices.Concat(b, b),
		slices.Concat(b[:frame.HeadersBytes+30], b[frame.HeadersBytes:]),
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, first []byte) {
		dir := t.TempDir()
		for i, content := range [][]byte{first, b} {
			if err := os.WriteFile(segmentPath(dir, uint64(i+1)), content, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		l := open(t, Options{Dir: dir})
		defer closeLog(t, l)
		var all []Record
		for {
			var some [50]Record
			n := l.reader.take(some[:])
			if all = append(all, some[:n]...); n == 0 {
				break
			}
		}
		if len(all) < 5 || !slices.Equal(ids(all[len(all)-5:]), []uint64{0, 1, 2, 3, 4}) {
			t.Fatalf("the segment after it gave %d records", len(all))
		}
		used := frame.HeadersBytes
		for _, r := range all[:len(all)-5] {
			if !bytes.Contains(first, r.Data) {
				t.Fatalf("record %x is not in the file", r.Data)
			}
			used += frame.Overhead + len(r.Data)
		}
		if used > max(len(first), frame.HeadersBytes) {
			t.Fatalf("%d bytes of records came out of %d", used, len(first))
		}
		l.Done(all...)
		if s := l.Stats(); s.Segments != 0 || s.Records != 0 || s.SetAside == 0 && s.Bytes != 0 {
			t.Fatalf("with all records done: %+v", s)
		}
	})
}
