package forget

import (
	"bytes"
	"context"
	crand "crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spillwayhq/spillway/shared/archive"
	"github.com/spillwayhq/spillway/shared/archive/dirstore"
	"github.com/spillwayhq/spillway/shared/message"
)

// anna is who is forgotten in these tests.
var anna = Person{UserIDs: []string{"anna", "anna@old", "17"}, AnonymousIDs: []string{"device-1"}}

// A world is an archive in a directory whose lines say themselves whether they are anna's, which
// nothing but the tests reads: by gone or stay in them.
type world struct {
	testing.TB
	rng    *rand.Rand
	dir    string
	store  archive.Store
	packer *archive.Packer
	n      int
}

const (
	gone = "truth-gone"
	stay = "truth-stay"
)

func newWorld(t testing.TB, seed uint64) *world {
	p, err := archive.NewPacker()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	return &world{TB: t, rng: rand.New(rand.NewPCG(seed, 9)), dir: dir, store: dirstore.Open(dir), packer: p}
}

// record is one of many kinds, each of which says what becomes of it.
func (w *world) record() archive.Record {
	w.n++
	r := archive.Record{Time: time.Now(), Outcome: archive.Delivered, WriteKey: "k"}
	truth, fields := stay, ""
	set := func(t, f string) { truth, fields = t, f }
	switch w.rng.IntN(24) {
	case 0:
		set(gone, `"userId":"anna"`)
	case 1:
		set(gone, `"userId":"\u0061nna"`)
	case 2:
		set(gone, `"userId":17`)
	case 3:
		set(gone, `"type":"alias","previousId":"anna","userId":"anne"`)
	case 4:
		set(gone, `"anonymousId":"device-1"`)
	case 5:
		set(gone, "\"userId\":\n\"anna@old\"") // in base64
	case 6:
		set(stay, `"userId":"bob","anonymousId":"device-1"`)
	case 7:
		set(stay, `"userId":"joanna","x":"anna"`)
	case 8:
		set(stay, `"userId":"anna","userId":"bob"`) // the last one counts
	case 9:
		set(stay, "\"userId\":\n\"bob\"")
	case 10:
		r.Outcome, r.Reason = archive.DeadLettered, message.ReasonUndecodable
		r.Event = []byte(fmt.Sprintf("broken %s %d of anna", stay, w.n))
		return r
	default:
		set(stay, fmt.Sprintf(`"userId":"u%d","text":"a \"quoted\" one"`, w.rng.IntN(50)))
	}
	r.Event = fmt.Appendf(nil, `{%s,"messageId":"m%d","truth":%q}`, fields, w.n, truth)
	return r
}

// frames are some frames of some records.
func (w *world) frames() (frames []archive.Frame) {
	for range 1 + w.rng.IntN(6) {
		for range 1 + w.rng.IntN(12) {
			r := w.record()
			w.packer.Add(&r, 0)
		}
		if w.rng.IntN(20) == 0 { // a frame of anna's only
			continue
		}
		frames = append(frames, w.packer.Frames()...)
	}
	return append(frames, w.packer.Frames()...)
}

// largeRecord is one in parts: a body that can't be read, or an event with a large context.
func (w *world) largeRecord(userID string) []archive.Frame {
	w.n++
	random := make([]byte, 700_000)
	_, _ = crand.Read(random) // it never fails
	noise := base64.StdEncoding.EncodeToString(random)
	r := archive.Record{Time: time.Now(), Outcome: archive.Delivered, WriteKey: "k",
		Context: []byte(`{"noise":"` + noise + `"}`),
		Event:   fmt.Appendf(nil, `{"userId":%q,"messageId":"large-%d"}`, userID, w.n)}
	w.packer.Add(&r, 0)
	frames := w.packer.Frames()
	if len(frames) < 2 {
		w.Fatal("the large record is in one frame")
	}
	return frames
}

func (w *world) writer() *dirstore.Writer {
	a, err := dirstore.OpenWriter(w.dir, dirstore.Options{})
	if err != nil {
		w.Fatal(err)
	}
	return a
}

// put makes an object of frames.
func (w *world) put(frames []archive.Frame) {
	a := w.writer()
	if err := errors.Join(a.Put(context.Background(), frames), a.Close()); err != nil {
		w.Fatal(err)
	}
}

// contents are the bytes of all objects.
func (w *world) contents() map[string][]byte {
	all := map[string][]byte{}
	for o, err := range w.store.Objects(context.Background(), time.Time{}, time.Now().Add(time.Hour)) {
		if err != nil {
			w.Fatal(err)
		}
		r, err := w.store.Open(context.Background(), o, 0)
		if err != nil {
			w.Fatal(err)
		}
		if all[o.Name], err = io.ReadAll(r); err != nil {
			w.Fatal(err)
		}
		r.Close()
	}
	return all
}

// expand returns what an object holds, in order: its lines and what can't be read.
func expand(t testing.TB, content []byte) (all []string) {
	r, err := archive.NewReader(bytes.NewReader(content), 0)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for {
		block, err := r.Next()
		if damage := (*archive.DamageError)(nil); errors.As(err, &damage) {
			all = append(all, "damage "+string(content[damage.Offset:damage.Offset+damage.Bytes]))
			continue
		} else if errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		for line := range block.Lines() {
			all = append(all, string(line))
		}
	}
}

// isGone reports what a line says of itself.
func saysGone(t testing.TB, line string) bool {
	if strings.HasPrefix(line, "damage ") {
		return false
	}
	r, err := archive.ParseRecord([]byte(line))
	if err != nil {
		t.Fatalf("%s: %v", line, err)
	}
	if r.Parts > 0 {
		return false
	}
	g, s := bytes.Contains(r.Event, []byte(gone)), bytes.Contains(r.Event, []byte(stay))
	if g == s {
		t.Fatalf("%s does not say what becomes of it", line)
	}
	return g
}

// check compares all objects with what they were. complete: no line of anna's may be left.
func (w *world) check(before map[string][]byte, complete bool) {
	w.Helper()
	after := w.contents()
	for name, content := range before {
		var want, rest []string
		removed := 0
		for _, line := range expand(w, content) {
			if saysGone(w, line) {
				removed++
			} else {
				want = append(want, line)
			}
		}
		left := expand(w, after[name])
		for _, line := range left {
			if !saysGone(w, line) {
				rest = append(rest, line)
			}
		}
		if strings.Join(want, "\n") != strings.Join(rest, "\n") {
			w.Errorf("%s: of %d lines of others %d are left, or they are others", name, len(want), len(rest))
		}
		if complete && len(left) != len(rest) {
			w.Errorf("%s: %d lines of anna's are left", name, len(left)-len(rest))
		}
		if removed == 0 && !bytes.Equal(content, after[name]) {
			w.Errorf("%s has no line of anna's, and was changed", name)
		}
	}
}

// forget runs once. The list is in list.
func (w *world) forget(ctx context.Context, store archive.Store, list *bytes.Buffer, change func(*Options)) (Result, error) {
	o := Options{Person: anna, Write: func(lines []byte) error {
		list.Write(lines)
		return nil
	}}
	if change != nil {
		change(&o)
	}
	var r Result
	err := Archive(ctx, store, o, &r)
	return r, err
}

// damage changes bytes of objects, in frames and between them.
func (w *world) damage() {
	for name, content := range w.contents() {
		for range w.rng.IntN(3) {
			content[w.rng.IntN(len(content))] ^= byte(1 + w.rng.IntN(255))
		}
		if w.rng.IntN(4) == 0 {
			content = content[:len(content)-w.rng.IntN(min(20, len(content)))]
		}
		file := filepath.Join(w.dir, filepath.FromSlash(strings.TrimPrefix(name, archive.Prefix)))
		if err := errors.Join(os.Remove(file), os.WriteFile(file, content, 0o400)); err != nil {
			w.Fatal(err)
		}
	}
}
