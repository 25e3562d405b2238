package archive

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/klauspost/compress/zstd"
)

// packed is a frame as the zstd command makes it of its input.
func packed(t testing.TB, lines []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	z, err := zstd.NewWriter(&b, zstd.WithEncoderConcurrency(1))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := z.Write(lines); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// lines are some lines of that many bytes in all: what zstd packs into little, or into as much.
func lines(size int, compressible bool) (text []byte, n int) {
	filler := strings.Repeat("abc", 5000)
	for ; len(text) < size; n++ {
		if !compressible {
			filler = random(10_000 + n)
		}
		text = fmt.Appendf(text, "{\"n\":%d,\"a\":\"%s\"}\n", n, filler[:len(filler)-n%7])
	}
	return text, n
}

// selectAll returns the lines of an object, and where each was.
func selectAll(t *testing.T, object []byte) (texts []string, places []Line, stats Stats) {
	t.Helper()
	stats, err := Select(t.Context(), iotest.HalfReader(bytes.NewReader(object)), 0, 2, func([]byte) bool { return true },
		func(l Line) error {
			texts = append(texts, string(l.Data))
			places = append(places, Line{Offset: l.Offset, Index: l.Index})
			return nil
		})
	if err != nil {
		t.Fatal(err)
	}
	return texts, places, stats
}

func TestAFrameOfAnotherProgramIsReadHoweverLargeItIs(t *testing.T) {
	before, offsets := object(t, `{"n":"before"}`)
	after, _ := object(t, `{"n":"after"}`)
	for _, compressible := range []bool{true, false} {
		size := MaxLinesBytes + 2*pieceBytes
		if !compressible {
			size = maxStored * 3 / 2 // of which zstd leaves three quarters
		}
		text, n := lines(size, compressible)
		big := packed(t, text)
		if compressible == (len(big) > maxStored) {
			t.Fatalf("it is stored in %d bytes", len(big))
		}
		texts, places, stats := selectAll(t, slices.Concat(before, big, after))
		if len(stats.Damage) > 0 || len(texts) != n+2 || stats.Lines != int64(n+2) || stats.Bytes < int64(len(text)) {
			t.Fatalf("%d lines, want %d: %+v", len(texts), n+2, stats)
		}
		if got := strings.Join(texts[1:n+1], "\n") + "\n"; got != string(text) {
			t.Error("the lines are others")
		}
		if !strings.Contains(texts[n+1], "after") || places[n+1].Offset != int64(len(before)+len(big)) || places[n+1].Index != 0 {
			t.Errorf("behind it is %s at %+v", texts[n+1], places[n+1])
		}
		for i := range n {
			if at := places[i+1]; at.Offset != int64(offsets[1]) || at.Index != i {
				t.Fatalf("line %d is at %+v", i, at)
			}
		}
		for what, i := range map[string]int{"the middle": len(big) / 2, "the checksum": len(big) - 1} {
			damaged := slices.Clone(big)
			damaged[i] ^= 0x55
			texts, _, stats := selectAll(t, slices.Concat(before, damaged, after))
			if len(stats.Damage) == 0 || stats.Damage[0].Offset != int64(len(before)) || len(texts) < 2 ||
				!strings.Contains(texts[len(texts)-1], "after") {
				t.Errorf("damaged in %s: %d lines, %v", what, len(texts), stats.Damage)
			}
		}
		texts, _, stats = selectAll(t, slices.Concat(before, big[:len(big)/2]))
		if len(stats.Damage) == 0 || len(texts) < 1 {
			t.Errorf("cut off: %d lines, %v", len(texts), stats.Damage)
		}
	}
}

func TestALineThatIsTooLongIsDamage(t *testing.T) {
	after, _ := object(t, `{"n":"after"}`)
	big := packed(t, bytes.Repeat([]byte("x"), MaxLinesBytes+2*pieceBytes))
	texts, _, stats := selectAll(t, slices.Concat(big, after))
	if len(stats.Damage) != 1 || !errors.Is(stats.Damage[0], errLongLine) || len(texts) != 1 {
		t.Errorf("%d lines, %v", len(texts), stats.Damage)
	}
}

func TestASelectEndsWithTheFirstError(t *testing.T) {
	data, _ := sampleObject(t, 2000)
	text, _ := lines(MaxLinesBytes+1000, true)
	data = slices.Concat(data, packed(t, text), data)
	before := runtime.NumGoroutine()
	mine := errors.New("mine")
	all := func([]byte) bool { return true }
	for _, after := range []int{0, 1, 1999, 2100, 2300} {
		n := 0
		_, err := Select(t.Context(), bytes.NewReader(data), 0, 2, all, func(Line) error {
			if n++; n > after {
				return mine
			}
			return nil
		})
		if !errors.Is(err, mine) || n != after+1 {
			t.Errorf("after %d lines: %v, %d lines", after, err, n)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	_, err := Select(ctx, bytes.NewReader(data), 0, 2, all, func(Line) error { cancel(); return nil })
	if !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	broken := io.MultiReader(bytes.NewReader(data[:len(data)/2]), iotest.ErrReader(mine))
	if _, err := Select(t.Context(), broken, 0, 2, all, func(Line) error { return nil }); !errors.Is(err, mine) {
		t.Errorf("the object can't be read: %v", err)
	}
	text, _ = lines(maxStored*3/2, false)
	big := packed(t, text)
	broken = io.MultiReader(bytes.NewReader(big[:len(big)-1000]), iotest.ErrReader(mine))
	if stats, err := Select(t.Context(), broken, 0, 2, all, func(Line) error { return nil }); !errors.Is(err, mine) ||
		len(stats.Damage) > 0 {
		t.Errorf("a large frame can't be read: %v, and as damage %v", err, stats.Damage)
	}
	if now := runtime.NumGoroutine(); now > before+2 {
		t.Errorf("%d goroutines are left", now-before)
	}
}
