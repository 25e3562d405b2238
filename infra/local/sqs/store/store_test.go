package store

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"math/rand/v2"
	"os"
	"path"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/spillwayhq/spillway/integration/testutil"
	"github.com/spillwayhq/spillway/shared/frame"
)

func TestMain(m *testing.M) {
	testutil.CollectLess(400)
	os.Exit(m.Run())
}

const dir = "data"

func openIn(t testing.TB, fs FS) *Log {
	t.Helper()
	l, err := Open(Options{Dir: dir, FS: fs, Logger: slog.New(slog.DiscardHandler), OnFull: func() {}})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func closeLog(t testing.TB, l *Log) {
	t.Helper()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}

// content is the content of the message with this seq.
func content(seq uint64) []byte {
	return bytes.Repeat(fmt.Appendf(nil, "%d ", seq), 10+int(seq%50))
}

func putAll(t testing.TB, l *Log, from, to uint64) []*Message {
	t.Helper()
	var as []Addition
	var ms []*Message
	for seq := from; seq < to; seq++ {
		m := &Message{Queue: 7, Sent: int64(seq), At: int64(seq), Seq: seq, Events: 1}
		as, ms = append(as, Addition{Message: m, Content: content(seq)}), append(ms, m)
	}
	if err := l.Put(as, true); err != nil {
		t.Fatal(err)
	}
	return ms
}

// readable returns the messages whose content is what was written, by seq. Those that are damaged
// are reported as lost.
func readable(t testing.TB, l *Log) map[uint64]*Message {
	t.Helper()
	got := map[uint64]*Message{}
	var ms []*Message
	l.Each(func(m *Message) { ms = append(ms, m) })
	l.Read(ms, func(i int, data []byte, err error) {
		switch {
		case errors.Is(err, ErrDamaged):
			l.Lost(ms[i])
		case err != nil:
			t.Fatal(err)
		case !bytes.Equal(data, content(ms[i].Seq)):
			t.Fatalf("message %d has the content %q", ms[i].Seq, data)
		default:
			got[ms[i].Seq] = ms[i]
		}
	})
	return got
}

func files(t testing.TB, fs FS) []string {
	t.Helper()
	names, err := fs.List(dir)
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(names)
	return slices.DeleteFunc(names, func(n string) bool { return n == lockName })
}

// filled writes messages and deletes some of them, over several starts, which makes several files.
// It returns the messages that are there.
func filled(t testing.TB, fs *Mem, starts, messages int, end func(*Log)) map[uint64]bool {
	t.Helper()
	want := map[uint64]bool{}
	rnd := rand.New(rand.NewPCG(3, 4))
	seq := uint64(1)
	for range starts {
		l := openIn(t, fs)
		old := readable(t, l)
		if err := l.Set("queue", fmt.Appendf(nil, "%d", seq), true); err != nil {
			t.Fatal(err)
		}
		for _, m := range putAll(t, l, seq, seq+uint64(messages)) {
			want[m.Seq] = true
		}
		seq += uint64(messages)
		// None of its own messages: a damage that costs both a message and its deletion counts it as lost.
		var ms []*Message
		for _, seq := range slices.Sorted(maps.Keys(old)) {
			ms = append(ms, old[seq])
		}
		for _, m := range ms {
			if rnd.IntN(4) == 0 {
				l.Delete([]*Message{m})
				delete(want, m.Seq)
			}
		}
		if err := l.Sync(); err != nil {
			t.Fatal(err)
		}
		end(l)
	}
	return want
}

func kill(fs *Mem) func(*Log) { return func(l *Log) { _ = l.lock.Close() } }

func TestMessagesDeletesAndStateSurviveARestartAndAKill(t *testing.T) {
	for name, killed := range map[string]bool{"closed": false, "killed": true} {
		t.Run(name, func(t *testing.T) {
			fs := new(Mem)
			end := func(l *Log) { closeLog(t, l) }
			if killed {
				end = kill(fs)
			}
			want := filled(t, fs, 4, 50, end)
			l := openIn(t, fs)
			if d := l.Damage(); !d.None() {
				t.Errorf("damage: %+v", d)
			}
			got := readable(t, l)
			if len(got) != len(want) {
				t.Errorf("%d messages, want %d", len(got), len(want))
			}
			for seq := range want {
				if m := got[seq]; m == nil || m.Queue != 7 || m.Sent != int64(seq) || m.Events != 1 {
					t.Errorf("message %d: %+v", seq, m)
				}
			}
			if v := string(l.State()["queue"]); v != "151" {
				t.Errorf("state %q", v)
			}
		})
	}
}

// TestEveryDamageIsFoundAndCounted damages one file at one place and counts: what was acknowledged
// and not deleted, less what can be read, is what the log says is lost. Messages whose deletion was
// damaged may be there again.
var damages = flag.Int("damages", 100, "how many times a file is damaged at random")

func TestEveryDamageIsFoundAndCounted(t *testing.T) {
	for _, orderly := range []bool{true, false} {
		clean := new(Mem)
		end := func(l *Log) { closeLog(t, l) }
		if !orderly {
			end = kill(clean)
		}
		want := filled(t, clean, 4, 40, end)
		rnd := rand.New(rand.NewPCG(1, 2))
		for round := range *damages {
			fs := clean.Crash(nil)
			names := files(t, fs)
			i := rnd.IntN(len(names))
			newest := i >= len(names)-1 || names[i+1] == endName
			what := damageFile(fs, path.Join(dir, names[i]), rnd)
			l := openIn(t, fs)
			got := readable(t, l)
			missing := int64(0)
			for seq := range want {
				if got[seq] == nil {
					missing++
				}
			}
			d := l.Damage()
			told := fmt.Sprintf("orderly %v, round %d: %s in %s: %d messages are missing, reported are %d, %d uncounted: %v",
				orderly, round, what, names[i], missing, d.Messages, d.Uncounted, d.Files)
			switch {
			case names[i] == endName && d.None():
			case d.Messages == missing && (missing == 0 || !d.None()):
			// Nobody can tell what a killed process wrote last.
			case !orderly && newest && d.Messages <= missing && (d.Uncounted > 0 || what == "cut"):
			default:
				t.Fatal(told)
			}
			// What is readable goes on to be: another start finds the same messages.
			putAll(t, l, 1000, 1001)
			closeLog(t, l)
			again := readable(t, openIn(t, fs))
			if len(again) != len(got)+1 {
				t.Fatalf("%s: %d messages after one more start, want %d", told, len(again), len(got)+1)
			}
		}
	}
}

// damageFile changes a file as a faulty disk may, and returns how.
func damageFile(fs *Mem, name string, rnd *rand.Rand) (what string) {
	fs.Change(name, func(b []byte) []byte {
		at := rnd.IntN(len(b))
		switch rnd.IntN(6) {
		case 0:
			what = "missing"
			return nil
		case 1:
			what = "cut"
			return b[:at]
		case 2:
			what = "zeros"
			clear(b[at:min(len(b), at+300)])
		case 3:
			what = "noise"
			for i := range b[at:min(len(b), at+300)] {
				b[at+i] ^= byte(1 + rnd.IntN(255))
			}
		case 4:
			what = "hole"
			return append(b[:at:at], b[min(len(b), at+rnd.IntN(300)):]...)
		default:
			what = "flip"
			b[at] ^= 1 << rnd.IntN(8)
		}
		return b
	})
	return what
}

func TestAPowerCutLosesNothingThatWasSynced(t *testing.T) {
	rnd := rand.New(rand.NewPCG(5, 6))
	for range 100 {
		fs := new(Mem)
		l := openIn(t, fs)
		n := uint64(1 + rnd.IntN(30))
		ms := putAll(t, l, 1, n)
		l.Delete(ms[:len(ms)/2])
		if err := l.Put([]Addition{{Message: &Message{Seq: 99, Queue: 7}, Content: content(99)}}, false); err != nil {
			t.Fatal(err)
		}
		after := openIn(t, fs.Crash(rnd))
		if d := after.Damage(); !d.None() {
			t.Fatalf("damage: %+v", d)
		}
		got := readable(t, after)
		for _, m := range ms[len(ms)/2:] {
			if got[m.Seq] == nil {
				t.Fatalf("message %d is gone", m.Seq)
			}
		}
	}
}

// TestAPowerCutAfterAKillIsNoDamage has writes that were never synced before a file that was.
func TestAPowerCutAfterAKillIsNoDamage(t *testing.T) {
	fs := new(Mem)
	l := openIn(t, fs)
	m := putAll(t, l, 1, 2)[0]
	moved := &Message{Queue: 8, Seq: 1}
	if err := l.Put([]Addition{{Message: moved, Content: content(1), Replaces: m}}, false); err != nil {
		t.Fatal(err)
	}
	kill(fs)(l)
	putAll(t, openIn(t, fs), 2, 3)
	after := openIn(t, fs.Crash(nil))
	if n := len(readable(t, after)); n != 2 || !new(after.Damage()).None() {
		t.Errorf("%d messages, %+v", n, after.Damage())
	}
}

// TestAFileThatWasBeingMadeIsNoDamage has the beginnings that a kill or a power cut leaves of a new
// file.
func TestAFileThatWasBeingMadeIsNoDamage(t *testing.T) {
	headers := frame.AppendHeaders(nil, 9, 1)
	for _, left := range [][]byte{nil, headers[:10], headers[:frame.HeaderBytes], headers, make([]byte, 4096)} {
		for _, before := range []uint64{0, 1} {
			fs := new(Mem)
			if before > 0 {
				l := openIn(t, fs)
				putAll(t, l, 1, 1+before)
				kill(fs)(l)
			}
			f, err := fs.Create(segmentPath(dir, before+1, 9))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := f.WriteAt(left, 0); err != nil {
				t.Fatal(err)
			}
			for n := before; n < before+3; n++ { // it stays no damage when it is not the newest one any more
				l := openIn(t, fs)
				if got := len(readable(t, l)); got != int(n) || !new(l.Damage()).None() {
					t.Fatalf("%d bytes of the file: %d of %d messages, %+v", len(left), got, n, l.Damage())
				}
				putAll(t, l, n+1, n+2)
				kill(fs)(l)
			}
		}
	}
}

// syncFS calls onSync once before a file is synced.
type syncFS struct {
	*Mem
	onSync *func()
}

func (f syncFS) Create(name string) (File, error) {
	file, err := f.Mem.Create(name)
	return syncFile{file, f.onSync}, err
}

type syncFile struct {
	File
	onSync *func()
}

func (f syncFile) Sync() error {
	if call := *f.onSync; call != nil {
		*f.onSync = nil
		call()
	}
	return f.File.Sync()
}

func TestASegmentThatIsMadeWhileTheOldestIsRemovedMissesNoFile(t *testing.T) {
	onSync := new(func())
	fs := syncFS{new(Mem), onSync}
	l := openIn(t, fs)
	old := putAll(t, l, 1, 5)
	roll := func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		if err := l.roll(); err != nil {
			t.Error(err)
		}
	}
	roll()
	putAll(t, l, 5, 10)
	l.Delete(old)
	*onSync = roll // while removeOldest waits for the disk
	if err := l.Reclaim(false); err != nil {
		t.Fatal(err)
	}
	kill(fs.Mem)(l)
	again := openIn(t, fs)
	if n := len(readable(t, again)); n != 5 || !new(again.Damage()).None() {
		t.Errorf("%d messages, %+v", n, again.Damage())
	}
}

func TestAMoveLeavesOneOfBothMessagesWhereverThePowerIsCut(t *testing.T) {
	rnd := rand.New(rand.NewPCG(7, 8))
	for range 200 {
		fs := new(Mem)
		l := openIn(t, fs)
		m := putAll(t, l, 1, 2)[0]
		moved := &Message{Queue: 8, Seq: 1}
		if err := l.Put([]Addition{{Message: moved, Content: content(1), Replaces: m}}, false); err != nil {
			t.Fatal(err)
		}
		n := 0
		openIn(t, fs.Crash(rnd)).Each(func(*Message) { n++ })
		if n != 1 {
			t.Fatalf("%d messages", n)
		}
	}
}

func TestSpaceIsReclaimedWhereAnOldMessageStays(t *testing.T) {
	fs := new(Mem)
	l := openIn(t, fs)
	big := bytes.Repeat([]byte("x"), 100<<10)
	want := map[uint64]bool{}
	for seq := uint64(1); seq <= 1000; seq++ {
		m := &Message{Queue: 7, Seq: seq}
		if err := l.Put([]Addition{{Message: m, Content: big}}, true); err != nil {
			t.Fatal(err)
		}
		if seq%200 == 1 {
			l.Update([]Update{{Message: m, At: 5, First: 6, Count: 7}})
			want[seq] = true
			continue
		}
		l.Delete([]*Message{m})
		if seq%50 == 0 {
			if err := l.Reclaim(false); err != nil {
				t.Fatal(err)
			}
		}
	}
	size := int64(0)
	for _, name := range files(t, fs) {
		n, err := fs.Size(path.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		size += n
	}
	if limit := int64(slackBytes + segmentBytes); size > limit {
		t.Errorf("%d KB are taken by %d messages, want at most %d", size>>10, len(want), limit>>10)
	}
	for _, l := range []*Log{l, func() *Log { closeLog(t, l); return openIn(t, fs) }()} {
		if d := l.Damage(); !d.None() {
			t.Errorf("damage: %+v", d)
		}
		got := map[uint64]bool{}
		l.Each(func(m *Message) {
			if got[m.Seq] = true; m.At != 5 || m.First != 6 || m.Count != 7 {
				t.Errorf("%+v", m)
			}
		})
		if !maps.Equal(got, want) {
			t.Errorf("messages %v, want %v", got, want)
		}
	}
}

// limitedFS is a disk of a size.
type limitedFS struct {
	*Mem
	left *atomic.Int64
}

func (f limitedFS) Create(name string) (File, error) {
	file, err := f.Mem.Create(name)
	return limitedFile{file, f.left, f.Mem, name}, err
}

func (f limitedFS) Remove(name string) error {
	if size, err := f.Size(name); err == nil {
		f.left.Add(size)
	}
	return f.Mem.Remove(name)
}

func (f limitedFS) Empty(name, renamed string, left int64) error {
	size, err := f.Size(name)
	if err == nil {
		f.left.Add(size - left)
	}
	return errors.Join(err, f.Mem.Empty(name, renamed, left))
}

type limitedFile struct {
	File
	left *atomic.Int64
	m    *Mem
	name string
}

func (f limitedFile) WriteAt(b []byte, off int64) (int, error) {
	if f.left.Add(-int64(len(b))) < 0 {
		f.left.Add(int64(len(b)))
		n, _ := f.File.WriteAt(b[:len(b)/2], off) // a part of it
		return n, &pathError{syscall.ENOSPC}
	}
	return f.File.WriteAt(b, off)
}

type pathError struct{ error }

func (e *pathError) Unwrap() error { return e.error }

// TestADiskThatIsFullAtTheStartIsMadeFreeByDeletes starts with no byte left, and drains.
func TestADiskThatIsFullAtTheStartIsMadeFreeByDeletes(t *testing.T) {
	mem := new(Mem)
	for i := range 3 { // three files
		l := openIn(t, mem)
		putAll(t, l, uint64(i)*100+1, uint64(i)*100+101)
		kill(mem)(l)
	}
	disk := limitedFS{mem, new(atomic.Int64)}
	l := openIn(t, disk)
	got := readable(t, l)
	if len(got) != 300 {
		t.Fatalf("%d messages", len(got))
	}
	if err := l.Put([]Addition{{Message: &Message{Seq: 999}, Content: content(999)}}, true); !errors.Is(err,
		syscall.ENOSPC) {
		t.Fatalf("put: %v", err)
	}
	var first []*Message
	for seq := range uint64(100) {
		first = append(first, got[seq+1])
	}
	l.Delete(first)
	if l.Late() == nil {
		t.Error("the deletes are not known to be late")
	}
	// An orderly end now writes the deletes.
	copied := limitedFS{mem.Crash(nil), new(atomic.Int64)}
	stopped := openIn(t, copied)
	ended := readable(t, stopped)
	for seq := range uint64(200) {
		stopped.Delete([]*Message{ended[seq+1]})
	}
	closeLog(t, stopped)
	if n := len(readable(t, openIn(t, copied))); n != 100 {
		t.Errorf("after an orderly end: %d messages, want 100", n)
	}
	if err := l.Reclaim(true); err == nil {
		t.Error("space was reclaimed by a write on a full disk")
	}
	if disk.left.Load() == 0 {
		t.Fatalf("no space is free: %v", files(t, mem))
	}
	// A kill now: the deletes were never written, and are not needed.
	killed := mem.Crash(nil)
	if again := openIn(t, killed); len(readable(t, again)) != 200 || !new(again.Damage()).None() {
		t.Errorf("after a kill: %d messages, %+v", len(readable(t, again)), again.Damage())
	}
	putAll(t, l, 1000, 1001)
	if err := l.Flush(); err != nil || l.Late() != nil {
		t.Errorf("flush: %v, late %v", err, l.Late())
	}
	closeLog(t, l)
	again := openIn(t, disk)
	if n := len(readable(t, again)); n != 201 || !new(again.Damage()).None() {
		t.Errorf("%d messages, %+v", n, again.Damage())
	}
	if err := again.Reclaim(true); err != nil {
		t.Error(err)
	}
	for _, name := range files(t, mem) {
		if strings.HasSuffix(name, emptiedExt) {
			t.Errorf("%s is still there", name)
		}
	}
}

// TestADiskThatIsFullAtTheStartIsMadeFreeByDeletesOfItsOnlyFile is the same with one file, which has
// the state.
func TestADiskThatIsFullAtTheStartIsMadeFreeByDeletesOfItsOnlyFile(t *testing.T) {
	for name, end := range map[string]func(*Mem, *Log){
		"killed": func(mem *Mem, l *Log) { kill(mem)(l) },
		"closed": func(_ *Mem, l *Log) { closeLog(t, l) },
	} {
		t.Run(name, func(t *testing.T) {
			mem := new(Mem)
			l := openIn(t, mem)
			if err := l.Set("queue", []byte("x"), true); err != nil {
				t.Fatal(err)
			}
			const messages = 8000 // over dropBytes
			putAll(t, l, 1, messages+1)
			end(mem, l)
			disk := limitedFS{mem, new(atomic.Int64)}
			l = openIn(t, disk)
			got := readable(t, l)
			if len(got) != messages {
				t.Fatalf("%d messages", len(got))
			}
			l.Delete(slices.Collect(maps.Values(got)))
			if err := l.Reclaim(true); err == nil || l.Late() != nil {
				t.Errorf("reclaim: %v, late %v", err, l.Late())
			}
			for what, again := range map[string]*Log{"a power cut": openIn(t, mem.Crash(nil)), "": l} {
				if n := len(readable(t, again)); n != 0 || !new(again.Damage()).None() || string(again.State()["queue"]) != "x" {
					t.Errorf("%s: %d messages, %+v, state %v", what, n, again.Damage(), again.State())
				}
			}
			disk.left.Store(1 << 20)
			putAll(t, l, 5, 8)
			kill(mem)(l)
			again := openIn(t, mem)
			if n := len(readable(t, again)); n != 3 || !new(again.Damage()).None() {
				t.Errorf("%d messages, %+v", n, again.Damage())
			}
		})
	}
}

func TestAFailedWriteLeavesNothingBehind(t *testing.T) {
	mem := new(Mem)
	disk := limitedFS{mem, new(atomic.Int64)}
	disk.left.Store(20_000)
	l := openIn(t, disk)
	acked := 0
	for seq := uint64(1); ; seq++ {
		err := l.Put([]Addition{{Message: &Message{Seq: seq}, Content: content(seq)}}, true)
		if err != nil {
			break
		}
		acked++
	}
	kill(mem)(l)
	again := openIn(t, mem.Crash(nil))
	if n := len(readable(t, again)); n != acked || !new(again.Damage()).None() {
		t.Errorf("%d of %d messages, %+v", n, acked, again.Damage())
	}
}

func TestChangesOnADiskThatIsFullForLongTakeBoundedMemory(t *testing.T) {
	mem := new(Mem)
	disk := limitedFS{mem, new(atomic.Int64)}
	disk.left.Store(1 << 20)
	l := openIn(t, disk)
	ms := putAll(t, l, 1, 1001)
	disk.left.Store(0)
	const long = 1 << 61 // takes nine bytes
	us := make([]Update, len(ms))
	for round := range 900 {
		for i, m := range ms {
			us[i] = Update{Message: m, At: long + int64(round), First: long, Count: uint32(round)}
		}
		l.Update(us)
	}
	l.Delete(ms[:500])
	size := 0
	for _, ops := range l.late {
		size += len(ops)
	}
	if size > (maxLatePieces+1)*maxLate {
		t.Errorf("%d bytes wait for the disk", size)
	}
	disk.left.Store(100 << 20)
	closeLog(t, l)
	again := openIn(t, disk)
	n := 0
	again.Each(func(m *Message) {
		if n++; m.At != long+899 || m.Count != 899 || m.Seq <= 500 {
			t.Fatalf("message %d: at %d, count %d", m.Seq, m.At, m.Count)
		}
	})
	if n != 500 {
		t.Errorf("%d messages", n)
	}
}

func TestADirectoryThatIsRemovedFailsTheNextSend(t *testing.T) {
	fs := new(Mem)
	l := openIn(t, fs)
	putAll(t, l, 1, 2)
	for _, name := range files(t, fs) {
		if err := fs.Remove(path.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	err := l.Put([]Addition{{Message: &Message{Seq: 2}, Content: content(2)}}, true)
	if err == nil || !strings.Contains(err.Error(), "was removed while it is in use") {
		t.Errorf("put: %v", err)
	}
	if err := l.Close(); err == nil {
		t.Error("close reports nothing")
	}
}

func TestADirectoryOfThePebbleStoreIsRefusedWithTheWayOn(t *testing.T) {
	fs := new(Mem)
	if _, err := fs.Create(dir + "/MANIFEST-000001"); err != nil {
		t.Fatal(err)
	}
	_, err := Open(Options{Dir: dir, FS: fs, Logger: slog.New(slog.DiscardHandler), OnFull: func() {}})
	if err == nil || !strings.Contains(err.Error(), "deliver what waits in it with that version") {
		t.Errorf("open: %v", err)
	}
}

func FuzzReplay(f *testing.F) {
	fs := new(Mem)
	l := openIn(f, fs)
	putAll(f, l, 1, 4)
	name := path.Join(dir, files(f, fs)[0])
	whole, err := readAllOf(fs, name)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(whole, uint32(0))
	f.Add(whole[:100], uint32(1))
	f.Fuzz(func(t *testing.T, b []byte, salt uint32) {
		fs := new(Mem)
		file, err := fs.Create(segmentPath(dir, 1, salt))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := file.WriteAt(b, 0); err != nil {
			t.Fatal(err)
		}
		if l, err := Open(Options{Dir: dir, FS: fs, Logger: slog.New(slog.DiscardHandler), OnFull: func() {}}); err == nil {
			l.Each(func(m *Message) { l.Read([]*Message{m}, func(int, []byte, error) {}) })
		}
	})
}

func readAllOf(fs FS, name string) ([]byte, error) {
	size, err := fs.Size(name)
	if err != nil {
		return nil, err
	}
	file, err := fs.Open(name)
	if err != nil {
		return nil, err
	}
	b := make([]byte, size)
	_, err = file.ReadAt(b, 0)
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return b, err
}
