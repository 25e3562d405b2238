package reload

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// changing is a source that a test changes.
type changing struct {
	mu    sync.Mutex
	text  string
	err   error
	hangs bool
	reads int
}

func (c *changing) source() Source { return Source{Name: "/the/source", Read: c.read} }

func (c *changing) read(ctx context.Context) (Content, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.reads++
	if c.hangs {
		<-ctx.Done()
		return Content{}, ctx.Err()
	}
	return Content{Data: []byte(c.text)}, c.err
}

func (c *changing) set(text string, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.text, c.err = text, err
}

func (c *changing) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.reads
}

// parse takes one word.
func parse(_ context.Context, data []byte) (string, slog.Attr, error) {
	if len(bytes.Fields(data)) != 1 {
		return "", slog.Attr{}, errors.New("the value must be one word")
	}
	return string(data), slog.Int("length", len(data)), nil
}

func newValue(source Source, log *bytes.Buffer) *Value[string] {
	return New(Config[string]{What: "default write key", Without: "messages without a write key wait", Source: source,
		Parse: parse, Logger: slog.New(slog.NewTextHandler(log, nil))})
}

// during is what an invocation sees of a value.
func during(ctx context.Context, v *Value[string]) (seen string) {
	Group{v}.During(ctx, func() { seen, _ = v.Load() })
	return seen
}

func expect(t *testing.T, when, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("%s: the value is %q, want %q", when, got, want)
	}
}

func TestAnInvocationReadsTheValueAgainAfterAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		source := &changing{text: "first"}
		v := newValue(source.source(), &log)
		Group{v}.Refresh(t.Context())
		expect(t, "at the start", during(t.Context(), v), "first")
		source.text = "second"
		time.Sleep(Interval*9/10 - time.Second)
		expect(t, "before the minute is over", during(t.Context(), v), "first")
		time.Sleep(Interval/5 + time.Second)
		during(t.Context(), v) // reads while it works
		expect(t, "after it", during(t.Context(), v), "second")
		if source.reads != 2 {
			t.Errorf("read %d times, want 2", source.reads)
		}
		if text := log.String(); strings.Contains(text, "first") || strings.Contains(text, "second") ||
			!strings.Contains(text, "length=6") || !strings.Contains(text, "/the/source") {
			t.Errorf("the log says:\n%s", text)
		}
	})
}

func TestTheLastGoodValueIsUsedWhenAReadingFails(t *testing.T) {
	for name, broken := range map[string]*changing{
		"an error": {err: errors.New("ThrottlingException")}, "a hang": {hangs: true}, "an empty value": {},
		"a wrong value": {text: "two secrets"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var log bytes.Buffer
				source := &changing{text: "good"}
				v := newValue(source.source(), &log)
				Group{v}.Refresh(t.Context())
				source.text, source.err, source.hangs = broken.text, broken.err, broken.hangs
				for range 3 {
					time.Sleep(Interval * 11 / 10)
					began := time.Now()
					expect(t, "with a broken source", during(t.Context(), v), "good")
					if took := time.Since(began); took > Timeout {
						t.Errorf("the invocation took %v", took)
					}
				}
				if v.Failure() == nil {
					t.Error("the value does not tell that it may be old")
				}
				if text := log.String(); strings.Count(text, "the last good value is used") != 3 ||
					strings.Contains(text, "secret") {
					t.Errorf("the log says:\n%s", text)
				}
			})
		})
	}
}

func TestWithoutAFirstValueItIsTriedAgainSoonAndBeforeTheWork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		source := &changing{err: errors.New("AccessDenied")}
		v := newValue(source.source(), &log)
		Group{v}.Refresh(t.Context())
		expect(t, "without a value", during(t.Context(), v), "")
		source.text, source.err = "late", nil
		expect(t, "at once", during(t.Context(), v), "")
		time.Sleep(FirstInterval * 11 / 10)
		expect(t, "after the first interval", during(t.Context(), v), "late")
		if !strings.Contains(log.String(), "messages without a write key wait") {
			t.Errorf("the log says:\n%s", &log)
		}
	})
}

func TestNothingWaitsForAFirstReadingWhereThereIsADefault(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &changing{err: errors.New("AccessDenied")}
		usual := "usual"
		v := New(Config[string]{What: "name", Without: "the usual one is used", Source: c.source(), Parse: parse,
			Logger: slog.New(slog.DiscardHandler), Default: &usual})
		expect(t, "at the start", during(t.Context(), v), "usual")
		for range 3 {
			time.Sleep(FirstInterval * 2) // a failed reading is not tried again sooner than others
			expect(t, "after a failure", during(t.Context(), v), "usual")
		}
		if c.count() != 1 {
			t.Errorf("read %d times", c.count())
		}
		c.set("another", nil)
		time.Sleep(Interval)
		during(t.Context(), v) // reads while it works
		expect(t, "after a reading", during(t.Context(), v), "another")
	})
}

func TestASourceThatHangsDelaysTheStartByItsTimeoutOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		one, other := &changing{hangs: true}, &changing{hangs: true}
		start := time.Now()
		Group{newValue(one.source(), &log), newValue(other.source(), &bytes.Buffer{})}.Refresh(t.Context())
		if took := time.Since(start); took != Timeout {
			t.Errorf("the start took %v", took)
		}
	})
}

func TestAServerReadsItsValuesAgainUntilItEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		minutely, often := &changing{text: "one"}, &changing{text: "two"}
		file := often.source()
		file.Interval = fileInterval
		v, f := newValue(minutely.source(), new(bytes.Buffer)), newValue(file, new(bytes.Buffer))
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { Group{v, f}.Run(ctx) })
		synctest.Wait()
		if !v.loaded() || !f.loaded() {
			t.Error("the first reading has not happened")
		}
		minutely.set("three", nil)
		often.set("four", nil)
		time.Sleep(fileInterval * 11 / 10)
		synctest.Wait()
		now, _ := f.Load()
		expect(t, "the file after seconds", now, "four")
		now, _ = v.Load()
		expect(t, "the parameter after seconds", now, "one")
		time.Sleep(Interval * 11 / 10)
		synctest.Wait()
		now, _ = v.Load()
		expect(t, "the parameter after a minute", now, "three")
		cancel()
		running.Wait()
		before := minutely.count() + often.count()
		time.Sleep(10 * Interval)
		if minutely.count()+often.count() != before {
			t.Error("the values are read after the end")
		}
	})
}

func TestAReadingThatTheEndCutsOffIsNoFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		source := &changing{hangs: true}
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		newValue(source.source(), &log).Refresh(ctx)
		if log.Len() > 0 {
			t.Errorf("the log says:\n%s", &log)
		}
	})
}

// versioned is a source whose versions are the words of texts; the last is the newest.
type versioned struct {
	texts   []string // by version - 1; "-": it can't be decrypted, "?": it can't be read now
	newest  error    // of a reading without a version
	earlier []int    // the versions that were read
}

func (v *versioned) source() Source {
	return Source{Name: "/the/source", Read: v.read, Before: v.before}
}

func (v *versioned) read(context.Context) (Content, error) {
	c := Content{Data: []byte(v.texts[len(v.texts)-1]), Version: strconv.Itoa(len(v.texts))}
	if v.newest != nil {
		c.Data = nil
	}
	return c, v.newest
}

func (v *versioned) before(_ context.Context, version string) (Content, error) {
	n, err := strconv.Atoi(version)
	if err != nil || n == 1 {
		return Content{}, cmp.Or(err, ErrFirst)
	}
	n--
	v.earlier = append(v.earlier, n)
	c := Content{Version: strconv.Itoa(n)}
	switch text := v.texts[n-1]; text {
	case "-":
		return c, ErrUnreadable
	case "?":
		return c, errors.New("ThrottlingException")
	default:
		c.Data = []byte(text)
		return c, nil
	}
}

func newVersioned(source Source, log *bytes.Buffer) *Value[string] {
	return New(Config[string]{What: "set", Without: "nothing is accepted", Source: source, Earlier: 5, Parse: parse,
		Logger: slog.New(slog.NewTextHandler(log, nil))})
}

func TestAFirstValueIsTheLastGoodOfFiveEarlierVersions(t *testing.T) {
	for name, c := range map[string]struct {
		texts   []string
		newest  error
		want    string
		earlier []int
	}{
		"the newest is good":           {[]string{"a", "b"}, nil, "b", nil},
		"the newest is wrong":          {[]string{"a", "b", "x y"}, nil, "b", []int{2}},
		"the newest can't be read":     {[]string{"a", "b", "c"}, errors.New("AccessDenied"), "b", []int{2}},
		"some before it too":           {[]string{"a", "-", "x y", "", "x y"}, nil, "a", []int{4, 3, 2, 1}},
		"the fifth before it is good":  {[]string{"a", "b", "-", "-", "-", "-", "x y"}, nil, "b", []int{6, 5, 4, 3, 2}},
		"only the sixth is good":       {[]string{"a", "-", "-", "-", "-", "-", "x y"}, nil, "", []int{6, 5, 4, 3, 2}},
		"none is good":                 {[]string{"x y", "x y"}, nil, "", []int{1}},
		"the first version is wrong":   {[]string{"x y"}, nil, "", nil},
		"a version can't be read now ": {[]string{"a", "?", "x y"}, nil, "", []int{2, 2, 2, 2, 2}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var log bytes.Buffer
				source := &versioned{texts: c.texts, newest: c.newest}
				v := newVersioned(source.source(), &log)
				for range 10 { // earlier versions are read no more often, however long nothing is good
					v.Refresh(t.Context())
					time.Sleep(FirstInterval * 11 / 10)
				}
				got, _ := v.Load()
				expect(t, "of the versions", got, c.want)
				if !slices.Equal(source.earlier, c.earlier) {
					t.Errorf("the versions %d were read, want %d", source.earlier, c.earlier)
				}
				old := c.want != "" && c.earlier != nil
				if said := strings.Contains(log.String(), "is used, because the newest"); said != old {
					t.Errorf("the log says:\n%s", &log)
				}
				if failed := v.Failure() != nil; failed != (old || c.want == "") {
					t.Errorf("the failure is %v", v.Failure())
				}
			})
		})
	}
}

func TestARepairedSourceReplacesAnEarlierVersion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		source := &versioned{texts: []string{"off", "x y"}}
		v := newVersioned(source.source(), &log)
		v.Refresh(t.Context())
		got, _ := v.Load()
		expect(t, "while the newest is wrong", got, "off")
		source.texts = append(source.texts, "good")
		time.Sleep(Interval * 11 / 10)
		v.Refresh(t.Context())
		got, _ = v.Load()
		expect(t, "after the repair", got, "good")
		if v.Failure() != nil || len(source.earlier) != 1 {
			t.Errorf("%v, %d were read", v.Failure(), source.earlier)
		}
	})
}

func TestAnEarlierVersionThatCantBeReadNowIsReadAgainSoon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source := &versioned{texts: []string{"a", "?", "x y"}}
		v := newVersioned(source.source(), new(bytes.Buffer))
		v.Refresh(t.Context())
		if v.loaded() {
			t.Error("the version before the throttled one is used")
		}
		source.texts[1] = "b"
		time.Sleep(FirstInterval * 11 / 10)
		v.Refresh(t.Context())
		got, _ := v.Load()
		expect(t, "then", got, "b")
	})
}

// Else all environments that a burst of requests starts would call SSM at the same time.
func TestEarlierVersionsAreReadAtRandomTimes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		took := map[time.Duration]bool{}
		for range 20 {
			source := &versioned{texts: []string{"a", "x y"}}
			start := time.Now()
			newVersioned(source.source(), new(bytes.Buffer)).Refresh(t.Context())
			took[time.Since(start)] = true
			if time.Since(start) > earlierSpread {
				t.Errorf("it took %v", time.Since(start))
			}
		}
		if len(took) < 15 {
			t.Errorf("20 programs waited %d different times", len(took))
		}
	})
}

func TestAValueThatIsHarmfulWhenOldHasNoEarlierVersion(t *testing.T) {
	source := &versioned{texts: []string{"a", "x y"}}
	v := newValue(source.source(), new(bytes.Buffer))
	if v.Refresh(t.Context()); v.loaded() || source.earlier != nil {
		t.Error("an earlier version is used")
	}
}
