package writekeys

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/aws-sdk-go-v2/service/ssm/types"

	"github.com/spillwayhq/spillway/shared/ingest"
)

const sample = `{"writeKeys":[
  {"name":"web","writeKey":"secret-web"},
  {"name":"partner","writeKey":"secret-partner","enabled":true,"quota":50,"burst":1000},
  {"name":"old","writeKey":"secret-old","enabled":false}
]}`

func TestADocumentHasNamesAndSwitches(t *testing.T) {
	keys, err := Parse([]byte(sample))
	if err != nil {
		t.Fatal(err)
	}
	for writeKey, want := range map[string]ingest.Key{
		"secret-web":     {Name: "web"},
		"secret-partner": {Name: "partner", Quota: 50, Burst: 1000},
		"secret-old":     {Name: "old", Disabled: true},
	} {
		if got, ok := keys[writeKey]; !ok || got != want {
			t.Errorf("%s: %+v, want %+v", want.Name, got, want)
		}
	}
	if len(keys) != 3 {
		t.Errorf("%d keys", len(keys))
	}
}

func TestAWrongDocumentIsRefusedWithoutQuotingIt(t *testing.T) {
	for name, text := range map[string]string{
		"empty":             ``,
		"broken off":        `{"writeKeys":[{"name":"a","writeKey":"secret"`,
		"more behind":       `{"writeKeys":[{"name":"a","writeKey":"secret"}]} secret`,
		"no object":         `["secret"]`,
		"null":              `null`,
		"none":              `{"writeKeys":[]}`,
		"keys as fields":    `{"secret":{"name":"a"}}`,
		"unknown switch":    `{"writeKeys":[{"name":"a","writeKey":"secret","disabled":true}]}`,
		"switch of text":    `{"writeKeys":[{"name":"a","writeKey":"secret","enabled":"secret"}]}`,
		"the same key":      `{"writeKeys":[{"name":"a","writeKey":"secret"},{"name":"b","writeKey":"secret"}]}`,
		"quota of text":     `{"writeKeys":[{"name":"a","writeKey":"secret","quota":"secret"}]}`,
		"quota too large":   `{"writeKeys":[{"name":"a","writeKey":"secret","quota":1e999}]}`,
		"no UTF-8 anywhere": "\xff\xfe",
	} {
		_, err := Parse([]byte(text))
		if err == nil || strings.Contains(err.Error(), "secret") || !strings.Contains(err.Error(), "write") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzAnErrorQuotesNoKey(f *testing.F) {
	f.Add([]byte(sample))
	f.Add([]byte(`{"writeKeys":[{"name":"a","writeKey":"\ud800"}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		keys, err := Parse(data)
		if err == nil && len(keys) == 0 {
			t.Fatal("a set without keys was taken")
		}
		if err == nil {
			if set, err := ingest.NewKeys(keys); err == nil {
				for writeKey, want := range keys {
					if got, ok := set.Lookup(writeKey); !ok || got != want {
						t.Fatalf("%+v, want %+v", got, want)
					}
				}
			}
		}
	})
}

// changing is a source that a test changes.
type changing struct {
	mu    sync.Mutex
	text  string
	err   error
	reads int
}

func (c *changing) read(ctx context.Context) ([]byte, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.reads++
	if c.err != nil {
		return nil, c.err
	}
	return []byte(c.text), ctx.Err()
}

func (c *changing) become(text string, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.text, c.err = text, err
}

func (c *changing) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.reads
}

func knows(s *Set, writeKey string) bool { _, ok := s.Lookup(writeKey); return ok }

func TestAChangeCountsWithinAMinuteOrSo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		source := &changing{text: sample}
		s := Load(t.Context(), source.read, slog.New(slog.NewTextHandler(&log, nil)))
		ctx, cancel := context.WithCancel(t.Context())
		go s.Run(ctx)
		if !knows(s, "secret-web") || knows(s, "secret-new") {
			t.Error("the first set is not in force")
		}
		source.become(`{"writeKeys":[{"name":"new","writeKey":"secret-new"}]}`, nil)
		time.Sleep(Interval * 11 / 10)
		synctest.Wait()
		if knows(s, "secret-web") || !knows(s, "secret-new") {
			t.Error("the second set is not in force")
		}
		for _, mistake := range []struct {
			text string
			err  error
		}{
			{"", errors.New("throttled")},
			{`{"writeKeys":[{"name":"new","writeKey":"not a key"}]}`, nil},
			{`{}`, nil},
		} {
			source.become(mistake.text, mistake.err)
			time.Sleep(Interval * 11 / 10)
			synctest.Wait()
			if !knows(s, "secret-new") || knows(s, "anything") {
				t.Error("the last good set is not in force")
			}
		}
		if n := strings.Count(log.String(), "stay in force"); n < 3 {
			t.Errorf("%d failures in the log:\n%s", n, &log)
		}
		if strings.Contains(log.String(), "secret-") {
			t.Errorf("a key in the log:\n%s", &log)
		}
		cancel()
		synctest.Wait()
		before := source.count()
		time.Sleep(10 * Interval)
		if source.count() != before {
			t.Error("it reads on after the end")
		}
	})
}

func TestWithoutAFirstSetAnyKeyIsTakenAndItIsTriedAgainSoon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source := &changing{err: errors.New("no such parameter")}
		s := Load(t.Context(), source.read, slog.New(slog.DiscardHandler))
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go s.Run(ctx)
		if key, ok := s.Lookup("anything"); !ok || key != (ingest.Key{}) {
			t.Errorf("%+v, %v", key, ok)
		}
		source.become(sample, nil)
		time.Sleep(2 * firstInterval)
		synctest.Wait()
		if knows(s, "anything") || !knows(s, "secret-web") {
			t.Error("the set is not in force")
		}
	})
}

func TestASourceThatHangsDoesNotHoldUpTheStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		Load(t.Context(), func(ctx context.Context) ([]byte, error) { <-ctx.Done(); return nil, ctx.Err() },
			slog.New(slog.DiscardHandler))
		if took := time.Since(start); took != readTimeout {
			t.Errorf("it took %v", took)
		}
	})
}

func TestAFileIsReadAnew(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys.json")
	source := File(path)
	if _, err := source(t.Context()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%v", err)
	}
	for _, text := range []string{"a", sample} {
		// As an editor or an orchestrator does it: another file under the same name.
		if err := errors.Join(os.WriteFile(path+".new", []byte(text), 0o600), os.Rename(path+".new", path)); err != nil {
			t.Fatal(err)
		}
		if got, err := source(t.Context()); err != nil || string(got) != text {
			t.Errorf("%q, %v", got, err)
		}
	}
	if err := os.WriteFile(path, make([]byte, MaxBytes+1), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := source(t.Context()); err == nil || !strings.Contains(err.Error(), "larger than") {
		t.Errorf("%v", err)
	}
}

// parameters is an SSM with one parameter.
type parameters struct{ name, value string }

func (p parameters) GetParameter(_ context.Context, in *ssm.GetParameterInput,
	_ ...func(*ssm.Options)) (*ssm.GetParameterOutput, error) {
	if aws.ToString(in.Name) != p.name || !aws.ToBool(in.WithDecryption) {
		return nil, &types.ParameterNotFound{}
	}
	if p.value == "" {
		return &ssm.GetParameterOutput{}, nil
	}
	return &ssm.GetParameterOutput{Parameter: &types.Parameter{Value: aws.String(p.value)}}, nil
}

func TestAParameterIsReadDecrypted(t *testing.T) {
	if got, err := Parameter(parameters{"/spillway/keys", sample}, "/spillway/keys")(t.Context()); err != nil ||
		string(got) != sample {
		t.Errorf("%q, %v", got, err)
	}
	var notFound *types.ParameterNotFound
	if _, err := Parameter(parameters{}, "/other")(t.Context()); !errors.As(err, &notFound) ||
		!strings.Contains(err.Error(), "/other") {
		t.Errorf("%v", err)
	}
	if _, err := Parameter(parameters{name: "/empty"}, "/empty")(t.Context()); err == nil {
		t.Error("a parameter without a value was read")
	}
}

func TestAMistakeIsNamedByItsPlace(t *testing.T) {
	for text, want := range map[string]string{
		`{"writeKeys":[{"name":"a",}]}`:                              "from byte 27 on",
		`{"writeKeys":[{"name":"a","enabled":"x"}]}`:                 "ends at byte 39 ",
		`{"writeKeys":[{"name":"a","writeKey":"secret","no":true}]}`: "another name",
		`{"writeKeys":[`: "too early",
	} {
		if _, err := Parse([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}

func TestABurstWithoutAQuotaIsRefused(t *testing.T) {
	keys, err := Parse([]byte(`{"writeKeys":[{"name":"a","writeKey":"secret","burst":5}]}`))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ingest.NewKeys(keys); err == nil || !strings.Contains(err.Error(), `"a" has a burst and no quota`) {
		t.Errorf("%v", err)
	}
}

func TestAFileThatIsNoneIsRefusedAtOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Skip(err)
	}
	if _, err := File(path)(t.Context()); err == nil || !strings.Contains(err.Error(), "no regular file") {
		t.Errorf("%v", err)
	}
}

func TestAFileSystemThatHangsDoesNotHoldUpTheStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		var readings atomic.Int32
		source := unhurried(func() ([]byte, error) {
			readings.Add(1)
			<-release
			return []byte(sample), nil
		})
		start := time.Now()
		s := Load(t.Context(), source, slog.New(slog.DiscardHandler))
		if took := time.Since(start); took != readTimeout {
			t.Errorf("it took %v", took)
		}
		for range 5 {
			s.reload(t.Context())
		}
		if n := readings.Load(); n != 1 {
			t.Errorf("%d readings hang", n)
		}
		close(release)
		synctest.Wait()
		if s.reload(t.Context()); !knows(s, "secret-web") {
			t.Error("the set is not in force")
		}
	})
}
