package report

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spillwayhq/spillway/infra/local/drill"
	"github.com/spillwayhq/spillway/infra/local/drill/old"
	"github.com/spillwayhq/spillway/infra/topology"
)

func write(t testing.TB, r *drill.Result) string {
	t.Helper()
	var b bytes.Buffer
	if err := Write(&b, r); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestThePageIsAPureFunctionOfTheJSON(t *testing.T) {
	r := sample()
	data, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	var again drill.Result
	if err := json.Unmarshal(data, &again); err != nil {
		t.Fatal(err)
	}
	if page := write(t, r); page != write(t, r) || page != write(t, &again) {
		t.Error("the same result gives another page")
	}
}

func TestTheAnswerComesFirst(t *testing.T) {
	text := textOf(t, write(t, sample()))
	at := 0
	for _, want := range []string{
		"24 September 2018, replayed", "With Spillway", "0 events lost", "The API stayed up", "First alarm after 4 min 20 s",
		"spillway-segment-slow at 09:24:20; 3 notifications in all", "Drained in 8 min 36 s", "at most 538,803 waited",
		"In the design that failed", "events lost", "API down for 4 h", "Redis full at 10:28:35", "with 100,000 jobs, 172 MB",
		"Segment is away", "10:00 to 14:20, 4 h 20 min", "spillway-delivery-down", "10:05:30 to 14:27", "The API is down",
		drill.ChartAPILatency, drill.ChartBacklog, "The design that failed: memory of Redis",
		"4 min 20 s after: Segment takes 10 s for an answer", "fires by 09:26: held",
		"Events are not delivered to Segment. They are safe in the queue for 10 days.",
		"3 were silent, as they must be", "dead letter: invalid", "1,912,442", "no_user_anon_id", "$1.13", "$0.26",
		"the defaults of analytics-node", "spillway drill --scenario incident --seed 1 --rate 20 --out drill.html",
	} {
		i := strings.Index(text[at:], want)
		if i < 0 {
			t.Fatalf("%q is not on the page, or not where it is looked for", want)
		}
		at += i
	}
}

func TestWhatWentWrongIsSaid(t *testing.T) {
	r := sample()
	r.Broken = []string{"spillway-segment-slow fires by 09:24, and fired at 09:24:20."}
	r.Events.Lost = 1
	r.API.DownSeconds = 600
	r.API.Failed = 1234
	r.Alarms[2].MustFireBy = until(9, 24, 0)
	r.Alarms[3].MustBeSilent = true
	r.Alarms[1].Firings = nil
	r.Alarms[0].Firings[0].To = nil
	r.DrainSeconds = nil
	r.Events.Waiting = 5
	text := textOf(t, write(t, r))
	for _, want := range []string{
		"This drill has failed", r.Broken[0], "1 event lost", "The API was down for 10 min", "1,234 of 95,622 calls failed",
		"fires by 09:24: broken", "stays silent: broken", "never", "fires by 10:05:30: broken", "still fires",
		"5 events wait",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the page does not say %q", want)
		}
	}
	for _, not := range []string{"The API stayed up", "Drained in 8 min"} {
		if strings.Contains(text, not) {
			t.Errorf("the page says %q", not)
		}
	}
	if page := write(t, r); strings.Contains(page, `class="answer good"`) {
		t.Error("an answer is green")
	}
}

func TestThePageSaysWhenClientsWereLedToTheOtherRegion(t *testing.T) {
	r := sample()
	r.Name = &drill.Name{Near: "eu-west-1", Far: "us-east-1", TTLSeconds: 60,
		Left: []drill.Left{{From: on(9, 27, 0), To: until(10, 2, 0), Alarms: []string{"spillway-route-gone"}}}}
	want := "SDKs led elsewhere after 7 min to us-east-1, 09:27 to 10:02; each keeps an answer for 1 min"
	if text := strings.Join(strings.Fields(textOf(t, write(t, r))), " "); !strings.Contains(text, want) {
		t.Errorf("the page does not say %q", want)
	}
	r.Name.Left = nil
	text := strings.Join(strings.Fields(textOf(t, write(t, r))), " ")
	if want := "The name led to eu-west-1 all the time"; !strings.Contains(text, want) {
		t.Errorf("the page does not say %q", want)
	}
}

func TestAnAlarmThatFiresBeforeItsCauseKeepsNoPromise(t *testing.T) {
	r := sample()
	a := &r.Alarms[0]
	a.Firings[0].From = *until(9, 20, 0)
	a.MustFireBy = until(9, 26, 0)
	for from, want := range map[int]string{15: "held", 20: "held", 21: "broken"} {
		a.MustFireFrom = until(9, from, 0)
		if text := textOf(t, write(t, r)); !strings.Contains(text, "fires by 09:26: "+want) {
			t.Errorf("promised from 09:%d, fires at 09:20: the page does not say that it is %s", from, want)
		}
	}
}

func TestACalmDrillSaysThatNothingHappened(t *testing.T) {
	r := sample()
	r.Marks, r.Alarms, r.Old, r.DrainSeconds = nil, nil, nil, nil
	text := textOf(t, write(t, r))
	for _, want := range []string{"No alarm", "and there was no fault", "No alarm fired."} {
		if !strings.Contains(text, want) {
			t.Errorf("the page does not say %q", want)
		}
	}
	if strings.Contains(text, "failed: memory") || strings.Contains(text, "In the design") {
		t.Error("the page compares with a design of which the result says nothing")
	}
}

// textOf is a page's text, as far as a reader sees it or hears it read: a space stands between
// elements.
func textOf(t testing.TB, page string) string {
	t.Helper()
	var b strings.Builder
	d := decoder(page)
	skip := false
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return strings.Join(strings.Fields(b.String()), " ")
		}
		if err != nil {
			t.Fatalf("the page is not well-formed: %v", err)
		}
		switch e := token.(type) {
		case xml.StartElement:
			skip = e.Name.Local == "style" || e.Name.Local == "g" // the read-outs
		case xml.EndElement:
			b.WriteByte(' ')
		case xml.CharData:
			if !skip {
				b.Write(e)
			}
		}
	}
}

// decoder reads a page as XML, which it is although nobody asks for it: so this test finds each
// element that is not closed.
func decoder(page string) *xml.Decoder {
	d := xml.NewDecoder(strings.NewReader(page))
	d.Entity = xml.HTMLEntity
	return d
}

// checkPage checks what holds of every page, whatever the result was.
func checkPage(t testing.TB, page string) {
	t.Helper()
	ids, refs := map[string]bool{}, []string{}
	for d := decoder(page); ; {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("the page is not well-formed: %v", err)
		}
		e, ok := token.(xml.StartElement)
		if !ok {
			continue
		}
		if slices.Contains([]string{"script", "iframe", "object", "embed", "img", "form", "input", "base"}, e.Name.Local) {
			t.Errorf("the page has an element %s", e.Name.Local)
		}
		for _, a := range e.Attr {
			switch name := a.Name.Local; {
			case name == "id":
				if ids[a.Value] {
					t.Errorf("two elements have the id %q", a.Value)
				}
				ids[a.Value] = true
			case name == "aria-labelledby":
				refs = append(refs, strings.Fields(a.Value)...)
			case name == "href" && e.Name.Local == "a":
				if !strings.HasPrefix(a.Value, topology.DefaultRunbook+"#") {
					t.Errorf("the page links to %q", a.Value)
				}
			case name == "href" && a.Value != "data:,", name == "src", name == "srcset", name == "style",
				strings.HasPrefix(name, "on"):
				t.Errorf("an element %s has the attribute %s=%q", e.Name.Local, name, a.Value)
			}
		}
	}
	for _, ref := range refs {
		if !ids[ref] {
			t.Errorf("nothing has the id %q that names something", ref)
		}
	}
	for _, bad := range []string{"NaN", "Inf", "%!", "<nil>", "ZgotmplZ"} {
		if strings.Contains(strings.ReplaceAll(page, "Infra", ""), bad) {
			t.Errorf("the page has %q", bad)
		}
	}
}

func TestThePageLoadsNothingAndEveryNameIsThere(t *testing.T) {
	page := write(t, sample())
	checkPage(t, page)
	if strings.Contains(css, "url(") || strings.Contains(css, "@import") {
		t.Error("the style loads something")
	}
	styles := regexp.MustCompile(`(?s)<style>(.*)</style>`).FindStringSubmatch(page)
	if styles == nil || !strings.Contains(strings.ReplaceAll(page, "&#43;", "+"),
		"style-src &#39;sha256-"+sum(styles[1])+"&#39;") {
		t.Error("the policy does not allow the page's own style")
	}
	if !strings.Contains(page, "default-src &#39;none&#39;") {
		t.Error("the policy allows what it does not name")
	}
}

func TestADayIsSmall(t *testing.T) {
	if n := len(write(t, sample())); n > 350_000 {
		t.Errorf("a day is a page of %d bytes", n)
	}
	r := sample()
	for i := range r.Series {
		for range 6 {
			r.Series[i].Values = append(r.Series[i].Values, r.Series[i].Values[:24*60]...)
		}
	}
	r.Minutes *= 7
	if n := len(write(t, r)); n > 450_000 {
		t.Errorf("a week is a page of %d bytes", n)
	}
}

const hostile = `</style><script>alert("1")</script> '"><img src=x onerror=alert(1)> {{.CSS}} & --> javascript:alert(1)`

// spoil puts the text into every string that it finds.
func spoil(v reflect.Value, text string) {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			spoil(v.Elem(), text)
		}
	case reflect.Struct:
		for _, field := range v.Fields() {
			if field.CanSet() {
				spoil(field, text)
			}
		}
	case reflect.Slice:
		for i := range v.Len() {
			spoil(v.Index(i), text)
		}
	case reflect.Map:
		for _, key := range v.MapKeys() {
			v.SetMapIndex(reflect.ValueOf(text), v.MapIndex(key))
			v.SetMapIndex(key, reflect.Value{})
		}
	case reflect.String:
		v.SetString(text)
	}
}

func TestTextIsNeverMarkup(t *testing.T) {
	r := sample()
	spoil(reflect.ValueOf(r), hostile)
	page := write(t, r)
	checkPage(t, page)
	if n := strings.Count(textOf(t, page), hostile); n < 30 {
		t.Errorf("the text is on the page %d times", n)
	}
}

func TestAnyResultGivesAWholePage(t *testing.T) {
	nan, inf, huge, minus := math.NaN(), math.Inf(1), 1e300, -5.0
	for name, change := range map[string]func(r *drill.Result){
		"nothing at all":           func(r *drill.Result) { *r = drill.Result{} },
		"no minute":                func(r *drill.Result) { r.Minutes = 0 },
		"less than none":           func(r *drill.Result) { r.Minutes = -1 },
		"one minute":               func(r *drill.Result) { r.Minutes = 1 },
		"more minutes than values": func(r *drill.Result) { r.Minutes = 3000 },
		"more minutes than a year": func(r *drill.Result) { r.Minutes = math.MaxInt },
		"a series without a value": func(r *drill.Result) { r.Series[0].Values = nil },
		"values that are missing":  func(r *drill.Result) { r.Series[0].Values = make([]*float64, 1440) },
		"values that are no number": func(r *drill.Result) {
			r.Series[0].Values = []*float64{&nan, &inf, &huge, &minus, nil,
				&nan}
		},
		"an unknown unit": func(r *drill.Result) { r.Series[0].Unit = "parsecs" },
		"times outside": func(r *drill.Result) {
			r.Marks[0].From, r.Marks[0].To = time.Time{}, &time.Time{}
			r.Alarms[0].Firings[0].From = r.Start.AddDate(500, 0, 0)
			r.Old.Stops[0].From = time.Time{}
		},
		"an end before its begin": func(r *drill.Result) { r.Marks[1].To = &time.Time{} },
		"an alarm that flaps": func(r *drill.Result) {
			r.Alarms[0].Firings = slices.Repeat(r.Alarms[0].Firings,
				2000)
		},
		"an old design that stopped often": func(r *drill.Result) { r.Old.Stops = slices.Repeat(r.Old.Stops, 50) },
		"an old design without a minute":   func(r *drill.Result) { r.Old = &old.Day{} },
		"sums that do not fit":             func(r *drill.Result) { r.Events = drill.Events{Delivered: -1, Lost: 1} },
		"costs below nothing":              func(r *drill.Result) { r.Cost = drill.Cost{Dollars: -1, UsualDollars: 1e9} },
	} {
		t.Run(name, func(t *testing.T) {
			r := sample()
			change(r)
			checkPage(t, write(t, r))
		})
	}
}

type full struct{}

func (full) Write([]byte) (int, error) { return 0, errors.New("no space left on device") }

func TestAnErrorOfTheFileIsToldWithTheScenario(t *testing.T) {
	err := Write(full{}, sample())
	if err == nil || !strings.Contains(err.Error(), "incident") || !strings.Contains(err.Error(), "no space left") {
		t.Errorf("the error is %v", err)
	}
}

var control = regexp.MustCompile(`[\x00-\x08\x0b\x0c\x0e-\x1f\x{fffe}\x{ffff}]`)

func FuzzAnyJSONGivesAWholePage(f *testing.F) {
	r := sample()
	r.Minutes = 5 // a short seed, of which the fuzzer tries more
	for i := range r.Series {
		r.Series[i].Values = r.Series[i].Values[:5]
	}
	r.Old.Jobs, r.Old.Bytes, r.Old.Refused = r.Old.Jobs[:5], r.Old.Bytes[:5], r.Old.Refused[:5]
	data, err := json.Marshal(r)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add([]byte(`{"title":"<b>","minutes":3,"series":[{"chart":"a","unit":"s","values":[1,null,1e300]}]}`))
	f.Add([]byte(`{"start":"9999-12-31T23:59:59Z","minutes":9,"marks":[{"from":"0001-01-01T00:00:00Z","to":null}],"old":{"boundBytes":-1}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var r drill.Result
		if json.Unmarshal(data, &r) != nil {
			t.Skip()
		}
		page := write(t, &r)
		// Characters that XML has not, and texts of the result that look like ours.
		page = control.ReplaceAllString(page, "")
		for d := decoder(page); ; {
			if _, err := d.Token(); errors.Is(err, io.EOF) {
				return
			} else if err != nil {
				t.Fatalf("the page is not well-formed: %v", err)
			}
		}
	})
}

var out = flag.String("page", "", "write the sample's page to this `file`")

func TestWriteTheSample(t *testing.T) {
	if *out == "" {
		t.Skip("-page FILE writes the page of the sample")
	}
	if err := os.WriteFile(*out, []byte(write(t, sample())), 0o644); err != nil {
		t.Fatal(fmt.Errorf("write %s: %w", filepath.Base(*out), err))
	}
}
