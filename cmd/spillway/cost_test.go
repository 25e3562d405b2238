package main

import (
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

func TestCostPrintsWhatTheDocumentationShows(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../docs/cost.md")
	if err != nil {
		t.Fatal(err)
	}
	_, text, found := strings.Cut(string(page), "\n    go run ./cmd/spillway cost ")
	line, text, _ := strings.Cut(text, "\n")
	if !found {
		t.Fatal("docs/cost.md has no such command")
	}
	out, _, err := spillway(t.Context(), "", append([]string{"cost"}, strings.Fields(line)...)...)
	if err != nil {
		t.Fatal(err)
	}
	printed := strings.Split(strings.TrimSpace(out), "\n")
	var block strings.Builder
	for _, l := range printed[:len(printed)-3] { // the dates and sources of the prices are in the page's text
		if l != "" {
			l = "    " + l
		}
		block.WriteString(l + "\n")
	}
	begin := strings.Index(text, "    "+printed[0])
	end := begin + strings.Index(text[max(0, begin):], "\n\nWhat does not depend") + 1
	if begin < 0 || end < begin {
		t.Fatalf("docs/cost.md does not have the line %q of what `spillway cost %s` prints, or nothing behind it", printed[0],
			line)
	}
	if text[begin:end] == block.String() {
		return
	}
	if !*update {
		t.Fatalf("docs/cost.md does not have what `spillway cost %s` prints now: run go test ./cmd/spillway -run "+
			"Cost -update",
			line)
	}
	head, _, _ := strings.Cut(string(page), text[begin:end])
	if err := os.WriteFile("../../docs/cost.md", []byte(head+block.String()+text[end:]), 0o644); err != nil {
		t.Fatal(err)
	}
}

// parts are what cost prints of a part, and docs/cost.md shows, by the flags.
var parts = map[string]*regexp.Regexp{
	"--status-regions 1": regexp.MustCompile(`(?s)(    )?The status site, in .*?\n *total [^\n]*\n`),
	"--archive":          regexp.MustCompile(`(?s)(    )?The archive, once .*?\n *total .*? an invocation has about [^\n]*\n`),
}

func TestCostPrintsWhatTheDocumentationShowsOfThePartsOfItsOwn(t *testing.T) {
	t.Parallel()
	for flags, part := range parts {
		out, _, err := spillway(t.Context(), "",
			append([]string{"cost", "--events-per-day", "1000000"}, strings.Fields(flags)...)...)
		if err != nil {
			t.Fatal(err)
		}
		var block strings.Builder
		for line := range strings.Lines(part.FindString(out)) {
			if line != "\n" {
				line = "    " + line
			}
			block.WriteString(line)
		}
		page, err := os.ReadFile("../../docs/cost.md")
		if err != nil {
			t.Fatal(err)
		}
		if block.Len() > 0 && strings.Contains(string(page), "\n"+block.String()) {
			continue
		}
		if !*update || block.Len() == 0 || !part.Match(page) {
			t.Fatalf("docs/cost.md does not have what cost %s prints now: run go test ./cmd/spillway -run Cost -update\n%s",
				flags, block.String())
		}
		if err := os.WriteFile("../../docs/cost.md", part.ReplaceAllLiteral(page, []byte(block.String())),
			0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func TestTheCostPageHasThePriceOfOneName(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../docs/cost.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args []string
		want string // the line of the bill; empty: there is none
	}{
		{[]string{"--regions", "2", "--domain"}, "health checks 4.00 4.00"}, {[]string{"--domain"}, ""},
		{[]string{"--regions", "2"}, ""}, {[]string{"--regions", "2", "--domain", "--canary=false"}, ""},
	} {
		out, _, err := spillway(t.Context(), "", append([]string{"cost"}, c.args...)...)
		if err != nil {
			t.Fatal(err)
		}
		found := ""
		for line := range strings.Lines(out) {
			if words := strings.Join(strings.Fields(line), " "); strings.HasPrefix(words, "health checks ") {
				found = words
			}
		}
		if found != c.want {
			t.Errorf("%v: %q, want %q", c.args, found, c.want)
		}
	}
	if want := "4 health checks a region, $4.00 a month for two regions"; !strings.Contains(string(page), want) {
		t.Errorf("docs/cost.md does not say %q", want)
	}
	if _, _, err := spillway(t.Context(), "", "cost", "--domain", "--ingest", "function-url"); err == nil ||
		!strings.Contains(err.Error(), "--domain needs --ingest http-api") {
		t.Errorf("a function URL with a domain: %v", err)
	}
}

func TestTheReadmeAndTheArchitectureHaveTheDollarsThatCostPrints(t *testing.T) {
	t.Parallel()
	out, _, err := spillway(t.Context(), "", "cost", "--events-per-day", "1000000", "--events-per-message", "20")
	if err != nil {
		t.Fatal(err)
	}
	deployed, alone := map[string]float64{}, map[string]float64{} // the two columns, by the name of the row
	for line := range strings.Lines(out) {
		fields := strings.Fields(line)
		if len(fields) < 3 {
			continue
		}
		name, dollars := strings.Join(fields[:len(fields)-2], " "), fields[len(fields)-2:]
		first, err1 := strconv.ParseFloat(dollars[0], 64)
		second, err2 := strconv.ParseFloat(dollars[1], 64)
		if err1 == nil && err2 == nil {
			deployed[name], alone[name] = first, second
		}
	}
	watching := deployed["metrics"] + deployed["alarms"] + deployed["composite alarms"] + deployed["dashboard"]
	for file, want := range map[string]string{
		"README.md": fmt.Sprintf("A million events a day, 20 to a request: about $%.0f a month on AWS, of which $%.0f are "+
			"alarms, metrics and dashboard", deployed["total"], watching),
		"docs/architecture.md": fmt.Sprintf("A million events a day cost $%.0f a month and not $%.0f.", deployed["total"],
			alone["total"]),
	} {
		page, err := os.ReadFile("../../" + file)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(page), want) {
			t.Errorf("%s does not say %q", file, want)
		}
	}
}

func TestDollarsHaveTwoDecimalsAndCentsThree(t *testing.T) {
	t.Parallel()
	for d, want := range map[float64]string{0: "0.00", 0.0123: "0.012", 0.1: "0.10", 1.999: "2.00", 1234.5: "1,234.50",
		9080.674: "9,080.67"} {
		if got := formatDollars(d); got != want {
			t.Errorf("%v: %s, want %s", d, got, want)
		}
	}
}

func TestTheExamplesOfCostRun(t *testing.T) {
	t.Parallel()
	for line := range strings.Lines(newCost().Example) {
		args := strings.Fields(line)[1:] // without "spillway"
		if _, _, err := spillway(t.Context(), "", args...); err != nil {
			t.Errorf("%s: %v", strings.TrimSpace(line), err)
		}
	}
}

func TestTheHeadlineSaysWhatOneEventPerRequestCostsToo(t *testing.T) {
	t.Parallel()
	headline := func(args ...string) string {
		out, _, err := spillway(t.Context(), "", append([]string{"cost", "--events-per-day", "1000000"}, args...)...)
		if err != nil {
			t.Fatal(err)
		}
		return strings.Split(out, "\n")[1]
	}
	alone := headline("--events-per-message", "1")
	if want := ", and " + strings.TrimSuffix(alone, " per month") +
		" with 1 event per request, as browsers and phones send them"; !strings.HasSuffix(
		headline(), want) || strings.Contains(alone, "and") {
		t.Errorf("%q, want it to end with %q", headline(), want)
	}
	if got := headline("--ingest", "none", "--canary=false"); !strings.HasSuffix(got, " with 1 event per message") {
		t.Errorf("without an ingest endpoint %q, want it to speak of messages", got)
	}
}
