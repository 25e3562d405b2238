package compat

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/spillwayhq/spillway/infra/local"
	"github.com/spillwayhq/spillway/infra/local/segmentd"
	"github.com/spillwayhq/spillway/infra/topology"
	"github.com/spillwayhq/spillway/integration/testutil/localtest"
	"github.com/spillwayhq/spillway/shared/ingest/writekeys"
	"github.com/spillwayhq/spillway/shared/operator"
)

// everyVersion runs a test for each folder of testdata, the oldest first.
func everyVersion(t *testing.T, test func(t *testing.T, s *sample)) {
	t.Helper()
	for _, s := range samples(t) {
		t.Run(s.Name, func(t *testing.T) {
			t.Parallel()
			test(t, s)
		})
	}
}

func samples(t testing.TB) (all []*sample) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("testdata", "*", versionFile))
	if err != nil || len(files) == 0 {
		t.Fatalf("no samples: %v", err)
	}
	slices.Sort(files)
	for _, file := range files {
		s := &sample{dir: filepath.Dir(file)}
		s.readJSON(t, versionFile, s)
		all = append(all, s)
	}
	return all
}

// has is false for a file that the version can't have; why it lacks it is in version.json.
func (s *sample) has(file string) bool { return s.Lacks[file] == "" }

func (s *sample) read(t testing.TB, file string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(s.dir, file))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func (s *sample) readJSON(t testing.TB, file string, into any) {
	t.Helper()
	if err := json.Unmarshal(s.read(t, file), into); err != nil {
		t.Fatalf("%s/%s: %v", s.Name, file, err)
	}
}

// segment starts a Segment emulator that rejects one event, as a sample's did.
func segment(t testing.TB) (*localtest.Arrivals, string) {
	t.Helper()
	arrivals := localtest.NewArrivals()
	server, url := localtest.Segment(t, segmentd.Options{OnEvent: arrivals.Add, EventLimit: -1})
	if err := server.SetScript(segmentd.Script{Rules: []segmentd.Rule{
		{Match: segmentd.Match{MessageID: rejectedID}, Status: http.StatusBadRequest}}}); err != nil {
		t.Fatal(err)
	}
	return arrivals, url
}

func TestWhatAVersionPutOnTheQueueIsDeliveredAsThatVersionDeliveredIt(t *testing.T) {
	t.Parallel()
	everyVersion(t, func(t *testing.T, s *sample) {
		var messages []storedMessage
		s.readJSON(t, messagesFile, &messages)
		arrivals, segmentURL := segment(t)
		p := localtest.Start(t, local.Config{Segment: segmentURL, WriteKey: "default"})
		client, names := localtest.Client(p.SQSURL), topology.DefaultNames()
		send(t, client, local.QueueURL(p.SQSURL, names.EventsQueue), messages...)
		s.sameEvents(t, arrivals)

		deadLetters := func() (now reasons) {
			return reasonsIn(t, head.mustRun(t, "", "dlq", "ls", "--json",
				"--queue-url="+local.QueueURL(p.SQSURL, names.EventsQueue)))
		}
		want := reasonsIn(t, string(s.read(t, listFile)))
		await(t, "the dead letters",
			func() bool { return reflect.DeepEqual(deadLetters(), want) || deadLetters().more(want) })
		if got := deadLetters(); !reflect.DeepEqual(got, want) {
			t.Errorf("the dead letters are %v, and were %v", got, want)
		}
	})
}

// sameEvents waits for the events that the version delivered, and compares them byte for byte.
func (s *sample) sameEvents(t testing.TB, arrivals *localtest.Arrivals) {
	t.Helper()
	var want []delivered
	s.readJSON(t, deliveredFile, &want)
	arrivals.Await(t, "the events of "+s.Name, func() bool { return arrivals.Distinct() >= len(want) })
	got := arrived(arrivals)
	for i := range min(len(got), len(want)) {
		if got[i] != want[i] {
			t.Errorf("delivered %+v, and %s delivered %+v", got[i], s.Name, want[i])
		}
	}
	if len(got) != len(want) {
		t.Errorf("%d events were delivered, and %s delivered %d", len(got), s.Name, len(want))
	}
}

// reasons count dead letters.
type reasons map[string]int

func reasonsIn(t testing.TB, list string) reasons {
	t.Helper()
	var l struct {
		Groups []struct {
			Reason      string
			DeadLetters int
		}
	}
	if err := json.Unmarshal([]byte(list), &l); err != nil {
		t.Fatal(err)
	}
	r := reasons{}
	for _, g := range l.Groups {
		r[g.Reason] += g.DeadLetters
	}
	return r
}

// more says whether there are more dead letters than others are.
func (r reasons) more(others reasons) bool {
	sum := func(r reasons) (n int) {
		for _, count := range r {
			n += count
		}
		return n
	}
	return sum(r) > sum(others)
}

func TestTheDeadLettersOfAVersionAreListedExportedAndSentAgain(t *testing.T) {
	t.Parallel()
	everyVersion(t, func(t *testing.T, s *sample) {
		var deadLetters []storedMessage
		s.readJSON(t, deadLettersFile, &deadLetters)
		server, url := localtest.SQS(t)
		deployed := topology.Default()
		if err := local.CreateQueues(server, &deployed); err != nil {
			t.Fatal(err)
		}
		client, queue := localtest.Client(url), "--queue-url="+local.QueueURL(url, deployed.Names.EventsQueue)
		send(t, client, local.QueueURL(url, deployed.Names.DeadLetterQueue), deadLetters...)

		list := head.mustRun(t, "", "dlq", "ls", "--json", queue)
		s.covers(t, listFile, []byte(list), sameValues)
		s.covers(t, showFile, []byte(head.mustRun(t, "", "dlq", "show", idOfRejected(t, list), "--json", queue)), sameValues)
		s.coversLines(t, exportFile, head.mustRun(t, "", "dlq", "export", queue))

		// What the version exported can be sent, too, except for the body that nobody can read.
		if _, stderr, err := head.run(t, string(s.read(t, exportFile)), "send", queue); err == nil ||
			!strings.Contains(stderr, "skip") {
			t.Errorf("send of an export with an unreadable body: %v, %s", err, stderr)
		}
		sent := receiveAll(t, client, local.QueueURL(url, deployed.Names.EventsQueue))
		if len(sent) != 1 || sent[0].Attributes["Event-Count"].Text != strconv.Itoa(badMessages-1) {
			t.Errorf("of the export %d messages were sent, want one of %d events: %.500v", len(sent), badMessages-1, sent)
		}
		head.mustRun(t, "", "dlq", "redrive", "--force", "--reason=rejected", queue)
		again := receiveAll(t, client, local.QueueURL(url, deployed.Names.BulkQueue))
		if len(again) != 1 || !strings.Contains(again[0].Body, `"messageId":"`+rejectedID+`"`) {
			t.Errorf("redriven was %v", again)
		}
	})
}

func TestWhatAVersionLeftOnDiskIsTakenOver(t *testing.T) {
	t.Parallel()
	everyVersion(t, func(t *testing.T, s *sample) {
		arrivals, segmentURL := segment(t)
		p := localtest.Start(t, local.Config{Segment: segmentURL, WriteKey: "default"})
		kinds := []string{"api"}
		head.api(t, local.QueueURL(p.SQSURL, topology.DefaultNames().EventsQueue), s.readDir(t, publisherDirFile))
		if s.has(ingestDirFile) {
			kinds = append(kinds, "ingest")
			head.ingestServer(t, p.SQSURL, "SPILLWAY_SPILL_DIR="+s.readDir(t, ingestDirFile))
		}
		for _, kind := range kinds {
			for i := range spilled {
				arrivals.AwaitEvent(t, fmt.Sprint(kind, "-", i))
			}
		}
		if got, want := arrivals.Distinct(), len(kinds)*spilled; got != want {
			t.Errorf("%d events arrived, want %d", got, want)
		}
	})
}

func TestTheDataDirectoryOfAVersionIsRead(t *testing.T) {
	t.Parallel()
	everyVersion(t, func(t *testing.T, s *sample) {
		dir := s.readDir(t, dataDirFile)
		if s.Unread[dataDirFile] != "" {
			c := exec.CommandContext(t.Context(), head.build(t, commandLine), "up", "--data-dir="+dir, "--sqs-port=0",
				"--ingest-port=0",
				"--segment-port=0", "--console-port=0")
			if out, err := c.CombinedOutput(); err == nil ||
				!strings.Contains(string(out),
					"is of a version before this one, which can't read it: deliver what waits in it with that version") {
				t.Errorf("%v, %s", err, out)
			}
			return
		}
		arrivals, segmentURL := segment(t)
		head.up(t, dir, "--segment="+segmentURL, "--write-key=default")
		s.sameEvents(t, arrivals)
	})
}

func TestTheWriteKeyDocumentOfAVersionIsRead(t *testing.T) {
	everyVersion(t, func(t *testing.T, s *sample) {
		d, err := writekeys.Parse(s.read(t, writeKeysFile))
		if err != nil || len(d.Entries) != 3 || len(d.Unknown) > 0 {
			t.Fatalf("%+v, %v", d, err)
		}
		partner, _ := d.Keys.Lookup("partner")
		if old, ok := d.Keys.Lookup("oldApp"); !ok || !old.Disabled || partner.Quota != 50 || partner.Burst != 1000 {
			t.Errorf("%+v, %+v", old, partner)
		}
	})
}

// The mark outlives a deployment: an upgrade and a roll-back must leave paused what a person has
// paused.
func (s *sample) marksAreRead(t *testing.T) {
	t.Helper()
	if s.has(pausedFile) {
		m, err := operator.Parse(s.read(t, pausedFile))
		if err != nil || !m.IsSet() || m.By == "" || m.Reason != "a sample" {
			t.Errorf("%s: %+v, %v", pausedFile, m, err)
		}
	}
	if s.has(pausedKeysFile) {
		keys, err := operator.ParseKeys(s.read(t, pausedKeysFile))
		if err != nil || len(keys.Paused()) != 1 || keys[pausedKey].Reason != "a sample" {
			t.Errorf("%s: %+v, %v", pausedKeysFile, keys, err)
		}
	}
}

// removed are the names that a later version has not any more, and why. CHANGELOG.md says it, too.
var removed = map[string]string{
	"BatchesAllFailed": "its alarm looks at SegmentResponses",
	"FlushEvents":      "nothing looked at it",
	"Requests":         "RequestsRefused and EventsAccepted say more",
}

// This version writes its own sample, with which those of the others are compared: what an earlier
// one named and printed must still be there.
func TestNamesAndJSONOfEachVersionAreStillThere(t *testing.T) {
	t.Parallel()
	now := &sample{dir: t.TempDir(), Name: head.name, Lacks: map[string]string{}}
	now.writeTemplateNames(t, filepath.Join("..", "..", "infra", "aws", "testdata", "template.json"))
	now.writePipeline(t, head)
	for file, why := range now.Lacks {
		t.Errorf("this version has no %s: %s", file, why)
	}
	now.marksAreRead(t)
	now.archiveIsRead(t)
	for _, s := range samples(t) {
		t.Run(s.Name, func(t *testing.T) {
			s.namesAreIn(t, now)
			s.marksAreRead(t)
			for _, file := range []string{listFile, showFile, statusFile, topFile, doctorFile, drillFile} {
				if s.has(file) {
					s.covers(t, file, now.read(t, file), sameTypes)
				}
			}
			s.covers(t, tailFile, now.read(t, tailFile), sameTypes)
		})
	}
}

// namesAreIn compares the names of resources and metrics.
func (s *sample) namesAreIn(t *testing.T, now *sample) {
	t.Helper()
	var before, after, wroteBefore, wroteNow map[string][]string
	s.readJSON(t, namesFile, &before)
	now.readJSON(t, namesFile, &after)
	s.readJSON(t, metricsFile, &wroteBefore)
	now.readJSON(t, metricsFile, &wroteNow)
	written := map[string]bool{} // the names of metrics, by function, that this version wrote
	for function, metrics := range wroteNow {
		for _, m := range metrics {
			written[function+nameOf(m)] = true
			after[metricKind] = append(after[metricKind], nameOf(m))
		}
	}
	for kind, names := range before {
		for _, name := range names {
			if !slices.Contains(after[kind], name) && removed[name] == "" {
				t.Errorf("%s named %s %s, which is not there any more", s.Name, kind, name)
			}
		}
	}
	for function, metrics := range wroteBefore {
		for _, m := range metrics {
			// Some are written only when something happens, and then an alarm or the dashboard
			// knows them.
			rare := !written[function+nameOf(m)] && slices.Contains(after[metricKind], nameOf(m))
			if !slices.Contains(wroteNow[function], m) && !rare && removed[nameOf(m)] == "" {
				t.Errorf("%s wrote %s, which is not there any more", s.Name, m)
			}
		}
	}
}

// nameOf is the name in "Spillway/NAME (UNIT) by DIMENSIONS".
func nameOf(metric string) string {
	name, _, _ := strings.Cut(strings.TrimPrefix(metric, "Spillway/"), " ")
	return name
}

// A comparison is how much of a JSON value must be as it was.
type comparison bool

const (
	sameValues comparison = true
	sameTypes  comparison = false // a value of the same type in each field
)

// covers checks that JSON of this version has all that a file of the sample has.
func (s *sample) covers(t *testing.T, file string, now []byte, how comparison) {
	t.Helper()
	var before, after any
	if how == sameTypes { // a file may have a value in each line
		before, after = shape(t, s.read(t, file)), shape(t, now)
	} else {
		s.readJSON(t, file, &before)
		if err := json.Unmarshal(now, &after); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
	}
	if missing := missing("", before, after); missing != "" {
		t.Errorf("%s: %s", file, missing)
	}
}

// coversLines is covers for lines in any order.
func (s *sample) coversLines(t *testing.T, file, now string) {
	t.Helper()
	var after []any
	for line := range strings.Lines(now) {
		var v any
		if err := json.Unmarshal([]byte(line), &v); err != nil {
			t.Fatal(err)
		}
		after = append(after, v)
	}
	for line := range bytes.Lines(s.read(t, file)) {
		var before any
		if err := json.Unmarshal(line, &before); err != nil {
			t.Fatal(err)
		}
		if !slices.ContainsFunc(after, func(a any) bool { return missing("", before, a) == "" }) {
			t.Errorf("%s: there is no line any more like %.500s", file, line)
		}
	}
}

// missing says what is not in JSON any more; objects may have more fields than before.
func missing(path string, before, after any) string {
	if b, ok := before.(map[string]any); ok {
		a, ok := after.(map[string]any)
		if !ok {
			return fmt.Sprintf("%s was an object, is %v", path, after)
		}
		for _, name := range slices.Sorted(maps.Keys(b)) {
			value, ok := a[name]
			if !ok {
				return fmt.Sprintf("%s.%s is missing", path, name)
			}
			if m := missing(path+"."+name, b[name], value); m != "" {
				return m
			}
		}
		return ""
	}
	if b, ok := before.([]any); ok {
		a, _ := after.([]any)
		if len(a) != len(b) {
			return fmt.Sprintf("%s had %d values, has %d", path, len(b), len(a))
		}
		for i := range b {
			if m := missing(fmt.Sprintf("%s[%d]", path, i), b[i], a[i]); m != "" {
				return m
			}
		}
		return ""
	}
	if !reflect.DeepEqual(before, after) {
		return fmt.Sprintf("%s was %v, is %v", path, before, after)
	}
	return ""
}

// shape is what is common to JSON values of the same kind, in lines or alone: each field has the
// types of its values, and all elements of an array are one.
func shape(t *testing.T, data []byte) any {
	t.Helper()
	var all any
	for d := json.NewDecoder(bytes.NewReader(data)); d.More(); {
		var v any
		if err := d.Decode(&v); err != nil {
			t.Fatal(err)
		}
		all = merge(all, shapeOf(v))
	}
	return all
}

func shapeOf(v any) any {
	switch v := v.(type) {
	case nil:
		return nil
	case map[string]any:
		fields := map[string]any{}
		for name, value := range v {
			if s := shapeOf(value); s != nil {
				fields[name] = s
			}
		}
		return fields
	case []any:
		var all any
		for _, value := range v {
			all = merge(all, shapeOf(value))
		}
		if all == nil {
			return "array"
		}
		return map[string]any{"[]": all}
	}
	return reflect.TypeOf(v).String()
}

func merge(a, b any) any {
	x, okX := a.(map[string]any)
	y, okY := b.(map[string]any)
	switch {
	case okX && okY:
		for name, value := range y {
			x[name] = merge(x[name], value)
		}
		return x
	case a == nil, a == "array":
		return b
	}
	return a
}
