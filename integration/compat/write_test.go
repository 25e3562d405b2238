package compat

import (
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/spillwayhq/spillway/infra/local/segmentd"
	"github.com/spillwayhq/spillway/integration/testutil"
	"github.com/spillwayhq/spillway/integration/testutil/localtest"
)

var (
	writeInto = flag.String("write", "", "write the samples of the programs in -programs into this `folder` of testdata")
	programs  = flag.String("programs", "", "`directory` with the binaries of a version, and its template.json")
	commit    = flag.String("commit", "", "the version's `commit`")
)

// A sample is the folder of one version.
type sample struct {
	dir  string
	Name string // the folder's name
	// Commit is what its programs were built from, and Written when they wrote, in RFC 3339.
	Commit, Written string
	// Lacks says which files a version has not, and why.
	Lacks map[string]string `json:",omitempty"`
	// Unread says which files a later version can't read, and why; it says so itself, and what to
	// do. It is written by hand.
	Unread map[string]string `json:",omitempty"`
}

// The files of a sample. Those that end with .tar.gz are a directory as kill -9 left it.
const (
	versionFile      = "version.json"
	messagesFile     = "messages.json"     // on the events queue, as each writer wrote them
	deliveredFile    = "delivered.json"    // what the version delivered of them
	deadLettersFile  = "dead-letters.json" // on the dead-letter queue
	listFile         = "dlq-ls.json"       // dlq ls --json
	showFile         = "dlq-show.json"     // dlq show --json
	exportFile       = "dlq-export.ndjson" // dlq export
	tailFile         = "tail.ndjson"       // tail --json
	metricsFile      = "metrics.json"      // the names of metrics, by function
	namesFile        = "names.json"        // the names of the deployment's resources, by type
	writeKeysFile    = "write-keys.json"   // a write-key document with all fields of the version
	publisherDirFile = "publisher-dir.tar.gz"
	ingestDirFile    = "ingest-dir.tar.gz"
	dataDirFile      = "data-dir.tar.gz"
	archiveFile      = "archive.tar.gz"   // the archive's directory, after up has ended in good order
	pausedFile       = "paused.json"      // the mark of pause
	pausedKeysFile   = "paused-keys.json" // those of pause --write-key
	statusFile       = "status-show.json" // status show --json: the status site's document
	topFile          = "top.json"         // top --json
	doctorFile       = "doctor.json"      // doctor --json
	drillFile        = "drill.json"       // drill --json
)

// A delivered event is one that the Segment emulator got.
type delivered struct{ MessageID, WriteKey, Path, Event string }

// It is no test: .ci/samples runs it to write a version's folder.
func TestWriteSamples(t *testing.T) {
	if *writeInto == "" {
		t.Skip("writes the samples of a version: .ci/samples runs it")
	}
	v := builtIn(filepath.Base(*writeInto), *programs)
	s := sample{dir: *writeInto, Name: v.name, Commit: *commit, Written: time.Now().UTC().Format(time.RFC3339),
		Lacks: map[string]string{}}
	if err := os.MkdirAll(s.dir, 0o755); err != nil {
		t.Fatal(err)
	}
	s.writeTemplateNames(t, filepath.Join(*programs, "template.json"))
	s.writePipeline(t, v)
	s.writePublisherDir(t, v)
	s.writeIngestDir(t, v)
	s.write(t, writeKeysFile, []byte(`{"writeKeys": [
  {"name": "shop web", "writeKey": "shopWeb"},
  {"name": "partner", "writeKey": "partner", "quota": 50, "burst": 1000},
  {"name": "old app", "writeKey": "oldApp", "enabled": false}
]}
`))
	s.writeJSON(t, versionFile, s)
}

// writePipeline writes what comes of one `spillway up`: first it accepts, and a kill -9 ends it;
// then it delivers what it had, and what can't be delivered.
func (s *sample) writePipeline(t *testing.T, v version) {
	dir := t.TempDir()
	p := v.up(t, dir, "--deliver=false", "--write-key=default")
	sendEverything(t, v, p)
	p.Kill()
	s.writeDir(t, dataDirFile, dir)

	// Only now the messages are received, which a data directory would remember.
	p = v.up(t, dir, "--deliver=false", "--write-key=default")
	messages := receiveAll(t, p.events, p.queueURL)
	s.writeJSON(t, messagesFile, messages)
	p.Kill()

	arrivals := localtest.NewArrivals()
	segment, segmentURL := localtest.Segment(t, segmentd.Options{OnEvent: arrivals.Add, EventLimit: -1})
	if err := segment.SetScript(segmentd.Script{Rules: []segmentd.Rule{
		{Match: segmentd.Match{MessageID: rejectedID}, Status: http.StatusBadRequest}}}); err != nil {
		t.Fatal(err)
	}
	p = v.up(t, dir, "--segment="+segmentURL, "--write-key=default")
	tail := exec.Command(v.build(t, commandLine), "tail", "--json", "--queue-url="+p.queueURL)
	var followed testutil.Buffer
	tail.Stdout = &followed
	if err := tail.Start(); err != nil {
		t.Fatal(err)
	}
	list := func() string { return v.mustRun(t, "", "dlq", "ls", "--json", "--queue-url="+p.queueURL) }
	await(t, "all events and dead letters", func() bool {
		var l struct{ DeadLetters int }
		return arrivals.Distinct() >= goodEvents && json.Unmarshal([]byte(list()), &l) == nil && l.DeadLetters >= badMessages
	})
	// tail is there by now
	if err := post(t.Context(), p.ingestURL+"/v1/track", "shop", fmt.Sprintf(track, "followed")); err != nil {
		t.Fatal(err)
	}
	s.writeCommandLine(t, v, p, dir, list()) // while the event is on its way
	arrivals.AwaitEvent(t, "followed")
	await(t, "the line of tail", func() bool { return strings.Contains(followed.String(), "followed") })
	_ = tail.Process.Signal(syscall.SIGTERM)
	_ = tail.Wait()
	s.write(t, tailFile, []byte(followed.String()))
	s.writeJSON(t, deliveredFile, arrived(arrivals, "followed"))
	s.writeMark(t, v, pausedFile, filepath.Join(dir, "spillway-paused.json"), p)
	s.writeMark(t, v, pausedKeysFile, filepath.Join(dir, "spillway-paused-keys.json"), p, "--write-key="+pausedKey)
	s.writeJSON(t, deadLettersFile, receiveAll(t, p.events, p.deadLetterURL))
	if err := p.Stop(t); err != nil { // it writes the metrics of the last minute
		t.Fatal(err)
	}
	s.writeJSON(t, metricsFile, metricsOf(t, filepath.Join(dir, "deliver.log"))) // it has all parts' lines
	s.writeArchive(t, filepath.Join(dir, "archive"))
}

func (s *sample) writeArchive(t *testing.T, dir string) {
	if _, err := os.Stat(dir); err != nil {
		s.Lacks[archiveFile] = "the version has no archive"
		return
	}
	s.writeDir(t, archiveFile, dir)
}

// arrived are the events that arrived, sorted, without some.
func arrived(a *localtest.Arrivals, without ...string) (all []delivered) {
	for _, e := range a.All() {
		if !slices.Contains(without, e.MessageID) {
			all = append(all, delivered{e.MessageID, e.WriteKey, e.Path, string(e.Raw)})
		}
	}
	slices.SortFunc(all, func(a, b delivered) int { return strings.Compare(a.MessageID, b.MessageID) })
	return slices.Compact(all)
}

// writeCommandLine writes what the verbs print with --json.
func (s *sample) writeCommandLine(t *testing.T, v version, p *pipeline, dir, list string) {
	s.write(t, listFile, []byte(list))
	s.write(t, exportFile, []byte(v.mustRun(t, "", "dlq", "export", "--queue-url="+p.queueURL)))
	s.write(t, showFile, []byte(v.mustRun(t, "", "dlq", "show", idOfRejected(t, list), "--json",
		"--queue-url="+p.queueURL)))
	await(t, "the first whole second of the status site", func() bool {
		document, _, _ := v.run(t, "", laterVerbs(p, dir)[statusFile]...)
		return !json.Valid([]byte(document)) || strings.Contains(document, `"days":[{`) // not valid: it has no such verb
	})
	for file, args := range laterVerbs(p, dir) {
		stdout, stderr, err := v.run(t, "", args...)
		if !json.Valid([]byte(stdout)) { // doctor's exit code says what it found
			s.Lacks[file] = "the version has no such verb or flag"
			t.Logf("%s: %v, %s", file, err, stderr)
			continue
		}
		s.write(t, file, []byte(stdout))
	}
}

// pausedKey is a fingerprint.
const pausedKey = "0a1b2c3d"

// writeMark pauses something, and writes the mark that the pipeline keeps of it.
func (s *sample) writeMark(t *testing.T, v version, file, kept string, p *pipeline, what ...string) {
	args := append([]string{"pause", "--reason=a sample", "--queue-url=" + p.queueURL}, what...)
	if _, stderr, err := v.run(t, "", args...); err != nil {
		s.Lacks[file] = "the version has no such verb or flag"
		t.Logf("%s: %v, %s", file, err, stderr)
		return
	}
	mark, err := os.ReadFile(kept)
	if err != nil {
		t.Fatal(err)
	}
	s.write(t, file, mark)
}

// laterVerbs are those with --json that a first version had not.
func laterVerbs(p *pipeline, dir string) map[string][]string {
	return map[string][]string{
		statusFile: {"status", "show", "--json", "--data-dir=" + dir},
		topFile:    {"top", "--json", "--queue-url=" + p.queueURL},
		doctorFile: {"doctor", "--json", "--queue-url=" + p.queueURL},
		drillFile:  {"drill", "--json", "--scenario=deployment", "--rate=0.1"},
	}
}

// idOfRejected is the ID of the dead letter with the rejected event.
func idOfRejected(t testing.TB, list string) string {
	t.Helper()
	var l struct{ List []struct{ ID, Reason string } }
	if err := json.Unmarshal([]byte(list), &l); err != nil {
		t.Fatal(err)
	}
	for _, e := range l.List {
		if e.Reason == "rejected" {
			return e.ID
		}
	}
	t.Fatalf("no dead letter was rejected: %s", list)
	return ""
}

// writePublisherDir writes the directory of an API whose queue is away, and which was killed.
func (s *sample) writePublisherDir(t *testing.T, v version) {
	dir := t.TempDir()
	url, p := v.api(t, away+"/000000000000/spillway-events", dir)
	for i := range spilled {
		if err := post(t.Context(), fmt.Sprintf("%s/runs?id=api-%d", url, i), "", "a note"); err != nil {
			t.Fatal(err)
		}
	}
	await(t, "the events on disk", func() bool { return inFiles(dir) > 0 })
	p.Kill()
	s.writeDir(t, publisherDirFile, dir)
}

// writeIngestDir writes the directory of an ingest server whose queues are away, and which was
// killed.
func (s *sample) writeIngestDir(t *testing.T, v version) {
	dir := t.TempDir()
	c := exec.Command(v.build(t, ingest))
	c.Env = append(localtest.Environment(away), "SPILLWAY_SPILL_DIR="+dir, "SPILLWAY_LISTEN=refused")
	if out, _ := c.CombinedOutput(); strings.Contains(string(out), "unknown variable SPILLWAY_SPILL_DIR") {
		s.Lacks[ingestDirFile] = "the version's server keeps nothing on disk"
		return
	}
	url, p := v.ingestServer(t, away, "SPILLWAY_SPILL_DIR="+dir)
	for i := range spilled {
		if err := post(t.Context(), url+"/v1/track", "shop", fmt.Sprintf(track, fmt.Sprint("ingest-", i))); err != nil {
			t.Fatal(err)
		}
	}
	p.Kill()
	s.writeDir(t, ingestDirFile, dir)
}

// away is where nobody listens.
const away = "http://127.0.0.1:9"

// spilled is how many events are in each directory.
const spilled = 20

func inFiles(dir string) (size int64) {
	files, _ := filepath.Glob(filepath.Join(dir, "*"))
	for _, f := range files {
		if info, err := os.Stat(f); err == nil && info.Mode().IsRegular() {
			size += info.Size()
		}
	}
	return size
}

// metricsOf returns the names of the metrics in a log, by function.
func metricsOf(t testing.TB, log string) map[string][]string {
	t.Helper()
	data, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	sets := map[string]map[string]bool{}
	for line := range strings.Lines(string(data)) {
		var l struct {
			Function, Pipeline string
			AWS                struct {
				CloudWatchMetrics []struct {
					Namespace  string
					Dimensions [][]string
					Metrics    []struct{ Name, Unit string }
				}
			} `json:"_aws"`
		}
		if json.Unmarshal([]byte(line), &l) != nil {
			continue
		}
		for _, set := range l.AWS.CloudWatchMetrics {
			for _, m := range set.Metrics {
				if sets[l.Function] == nil {
					sets[l.Function] = map[string]bool{}
				}
				for _, d := range set.Dimensions {
					sets[l.Function][fmt.Sprintf("%s/%s (%s) by %s", set.Namespace, m.Name, m.Unit, strings.Join(d, ", "))] = true
				}
			}
		}
	}
	names := map[string][]string{}
	for function, set := range sets {
		names[function] = slices.Sorted(maps.Keys(set))
	}
	return names
}

// physical are the properties by which people know a resource, by its type.
var physical = map[string]string{
	"AWS::SQS::Queue": "QueueName", "AWS::Lambda::Function": "FunctionName", "AWS::SNS::Topic": "TopicName",
	"AWS::CloudWatch::Alarm": "AlarmName", "AWS::CloudWatch::CompositeAlarm": "AlarmName",
	"AWS::CloudWatch::Dashboard": "DashboardName", "AWS::Logs::LogGroup": "LogGroupName", "AWS::SSM::Parameter": "Name",
}

// metricKind is the type under which names has the metrics that alarms and the dashboard look at.
const metricKind = "Metric"

// namesIn returns the names in a template of the deployment, by the type of the resource. Alarms
// are one type: whether one is composite may change.
func namesIn(t testing.TB, template string) map[string][]string {
	t.Helper()
	data, err := os.ReadFile(template)
	if err != nil {
		t.Fatal(err)
	}
	var content struct {
		Resources map[string]struct {
			Type       string
			Properties map[string]any
		}
		Outputs map[string]any
	}
	if err := json.Unmarshal(data, &content); err != nil {
		t.Fatal(err)
	}
	names := map[string][]string{"Output": slices.Sorted(maps.Keys(content.Outputs))}
	for _, r := range content.Resources {
		property, ok := physical[r.Type]
		if !ok {
			continue
		}
		if strings.HasPrefix(r.Type, "AWS::CloudWatch::") {
			names[metricKind] = append(names[metricKind], metricsIn(r.Properties)...)
		}
		kind := strings.Replace(r.Type, "CompositeAlarm", "Alarm", 1)
		if name, ok := r.Properties[property].(string); ok {
			names[kind] = append(names[kind], name)
		}
	}
	for kind := range names {
		slices.Sort(names[kind])
		names[kind] = slices.Compact(names[kind])
	}
	return names
}

// inDashboard is a metric as the text of a dashboard has it.
var inDashboard = regexp.MustCompile(`"Spillway","(\w+)"`)

// metricsIn returns the metrics of Spillway's own that a part of a template has.
func metricsIn(part any) (names []string) {
	switch part := part.(type) {
	case map[string]any:
		if name, ok := part["MetricName"].(string); ok && part["Namespace"] == "Spillway" {
			names = append(names, name)
		}
		for _, inner := range part {
			names = append(names, metricsIn(inner)...)
		}
	case []any:
		for _, inner := range part {
			names = append(names, metricsIn(inner)...)
		}
	case string:
		for _, match := range inDashboard.FindAllStringSubmatch(part, -1) {
			names = append(names, match[1])
		}
	}
	return names
}

func (s *sample) writeTemplateNames(t *testing.T, template string) {
	s.writeJSON(t, namesFile, namesIn(t, template))
}

func (s *sample) writeJSON(t testing.TB, file string, value any) {
	t.Helper()
	data, err := json.MarshalIndent(value, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	s.write(t, file, append(data, '\n'))
}

// elsewhere are what a sample must not have of the machine that wrote it.
var elsewhere = regexp.MustCompile(regexp.QuoteMeta(os.TempDir()) + `/[^" ]*`)

func (s *sample) write(t testing.TB, file string, data []byte) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(s.dir, file), elsewhere.ReplaceAll(data, []byte("DIRECTORY")),
		0o644); err != nil {
		t.Fatal(err)
	}
}
