package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// cloudWatchLogs answers queries of CloudWatch Logs Insights from the lines of a log, and never the
// first time that it is asked. It knows as much of their language as the runbook uses, and fails
// the test for what it does not know, and for a field that no line has: nobody would ever find
// anything by it.
type cloudWatchLogs struct {
	t     *testing.T
	lines func() []string // of all functions

	mu      sync.Mutex
	asked   map[string]int // by query
	answers map[string]string
}

func newCloudWatchLogs(t *testing.T, lines func() []string) string {
	t.Helper()
	server := httptest.NewServer(&cloudWatchLogs{t: t, lines: lines, asked: map[string]int{}, answers: map[string]string{}})
	t.Cleanup(server.Close)
	return server.URL
}

func (c *cloudWatchLogs) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	_, action, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
	var in struct {
		LogGroupName, QueryString, QueryID string
		StartTime                          int64
	}
	err := json.NewDecoder(r.Body).Decode(&in)
	if strings.HasPrefix(in.LogGroupName, "/aws/kinesisfirehose/") { // the pipeline has no archive
		w.Header().Set("Content-Type", "application/x-amz-json-1.1")
		w.WriteHeader(http.StatusBadRequest)
		fmt.Fprint(w, `{"__type":"ResourceNotFoundException","message":"The specified log group does not exist."}`)
		return
	}
	if err != nil || in.QueryID == "" && !strings.HasPrefix(in.LogGroupName, "/aws/lambda/spillway-") {
		c.t.Errorf("%s %+v: %v", action, in, err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	switch action {
	case "StartQuery":
		id := strconv.Itoa(len(c.answers))
		c.answers[id] = c.answer(in.LogGroupName, in.QueryString)
		fmt.Fprintf(w, `{"queryId":%q}`, id)
	case "GetQueryResults":
		if c.asked[in.QueryID]++; c.asked[in.QueryID] == 1 {
			fmt.Fprint(w, `{"status":"Running","results":[]}`)
			return
		}
		fmt.Fprintf(w, `{"status":"Complete","results":%s}`, c.answers[in.QueryID])
	case "FilterLogEvents":
		fmt.Fprint(w, c.follow(in.StartTime))
	default:
		c.t.Errorf("an unexpected call of CloudWatch Logs: %s", action)
		w.WriteHeader(http.StatusBadRequest)
	}
}

// follow answers `spillway tail`.
func (c *cloudWatchLogs) follow(since int64) string {
	type event struct {
		ID   string `json:"eventId"`
		At   int64  `json:"timestamp"`
		Text string `json:"message"`
	}
	found := []event{}
	for i, line := range c.lines() {
		var l struct {
			Time time.Time
			Msg  string
		}
		if json.Unmarshal([]byte(line), &l) == nil && l.Msg == "delivered" && l.Time.UnixMilli() >= since {
			found = append(found, event{strconv.Itoa(i), l.Time.UnixMilli(), line})
		}
	}
	out, _ := json.Marshal(map[string]any{"events": found})
	return string(out)
}

// fields are those of a line, as Insights finds them.
type fields map[string]string

var (
	reportFields = map[string]*regexp.Regexp{
		"@requestId": regexp.MustCompile(`RequestId: (\S+)`), "@duration": regexp.MustCompile(`\tDuration: (\S+) ms`),
		"@maxMemoryUsed": regexp.MustCompile(`Max Memory Used: (\d+) MB`),
		"@initDuration":  regexp.MustCompile(`Init Duration: (\S+) ms`),
	}
	pipes = regexp.MustCompile(`"[^"]*"|/[^/]*/|'[^']*'|\| *|[^"/|']+|/`)
)

func fieldsOf(line string) fields {
	f := fields{"@message": line, "@timestamp": "2026-11-24 12:00:00.000"}
	var object map[string]any
	if json.Unmarshal([]byte(line), &object) == nil {
		f.flatten("", object)
		return f
	}
	if kind, _, _ := strings.Cut(line, " "); kind == "START" || kind == "END" || kind == "REPORT" {
		f["@type"] = kind
	}
	for name, pattern := range reportFields {
		if m := pattern.FindStringSubmatch(line); m != nil {
			f[name] = m[1]
			if name == "@maxMemoryUsed" {
				f[name] += "000000"
			}
		}
	}
	return f
}

func (f fields) flatten(prefix string, v any) {
	switch v := v.(type) {
	case map[string]any:
		for name, value := range v {
			f.flatten(strings.TrimPrefix(prefix+"."+name, "."), value)
		}
	case []any:
		for i, value := range v {
			f.flatten(prefix+"."+strconv.Itoa(i), value)
		}
	case nil:
	case float64:
		f[prefix] = strconv.FormatFloat(v, 'f', -1, 64)
	default:
		f[prefix] = fmt.Sprint(v)
	}
}

// steps cuts a query at its pipes, but not within texts and patterns.
func steps(query string) []string {
	all := []string{""}
	for _, part := range pipes.FindAllString(query, -1) {
		if strings.HasPrefix(part, "|") {
			all = append(all, "")
			continue
		}
		all[len(all)-1] += part
	}
	return all
}

// answer is what a query finds, as the JSON of Insights.
func (c *cloudWatchLogs) answer(group, query string) string {
	var rows []fields
	for _, line := range c.lines() {
		if !strings.HasSuffix(group, "-canary") || strings.Contains(line, "the canary was ") {
			rows = append(rows, fieldsOf(line))
		}
	}
	var columns []string
	for _, s := range steps(query) {
		command, rest, _ := strings.Cut(strings.TrimSpace(s), " ")
		switch command {
		case "fields":
			if strings.HasPrefix(rest, "jsonParse(@message) as ") {
				break // the fields of a line are known by their own names
			}
			columns = strings.Split(strings.ReplaceAll(rest, " ", ""), ",")
		case "filter":
			rows = slices.DeleteFunc(rows, func(f fields) bool { return !c.holds(rest, f, rows) })
		case "parse":
			pattern := regexp.MustCompile(strings.Trim(strings.TrimPrefix(rest, "@message "), "/"))
			for _, f := range rows {
				if m := pattern.FindStringSubmatch(f["@message"]); m != nil {
					f[pattern.SubexpNames()[1]] = m[1]
				}
			}
		case "unnest":
			rows = c.unnest(rest, rows)
		case "stats":
			rows, columns = c.stats(rest, rows)
		case "sort":
			slices.Reverse(rows) // the lines are in the order of their times
		case "limit":
			n, err := strconv.Atoi(rest)
			if err != nil {
				c.t.Errorf("limit %s: %v", rest, err)
			}
			rows = rows[:min(n, len(rows))]
		default:
			c.t.Errorf("an unknown command of Insights: %s", s)
		}
	}
	type field struct {
		Field string `json:"field"`
		Value string `json:"value"`
	}
	results := [][]field{}
	for _, f := range rows {
		var row []field
		for _, column := range columns {
			if value, ok := f[column]; ok {
				row = append(row, field{column, value})
			}
		}
		results = append(results, append(row, field{"@ptr", "p"}))
	}
	out, _ := json.Marshal(results)
	return string(out)
}

// unnest makes a line of each element of a list, which is a field of the object that was parsed.
func (c *cloudWatchLogs) unnest(expression string, rows []fields) (elements []fields) {
	list, name, ok := strings.Cut(expression, " into ")
	_, list, dotted := strings.Cut(list, ".")
	if !ok || !dotted {
		c.t.Errorf("an unknown unnest of Insights: %s", expression)
	}
	for _, f := range rows {
		for i := 0; ; i++ {
			value, ok := f[list+"."+strconv.Itoa(i)]
			if !ok {
				break
			}
			element := maps.Clone(f)
			element[name] = value
			elements = append(elements, element)
		}
	}
	return elements
}

var (
	present    = regexp.MustCompile(`^ispresent\((\S+)\)$`)
	matches    = regexp.MustCompile(`^(\S+) (not )?like (?:/(.*)/|"(.*)")$`)
	comparison = regexp.MustCompile(`^(\S+) (=|>) "?([^"]*)"?$`)
)

// holds reports whether a condition holds for a line.
func (c *cloudWatchLogs) holds(condition string, f fields, rows []fields) bool {
	for _, logic := range []string{" or ", " and "} {
		parts := strings.Split(condition, logic)
		if len(parts) == 1 || strings.Count(parts[0], "/")%2 == 1 || strings.Count(parts[0], `"`)%2 == 1 {
			continue
		}
		held := 0
		for _, p := range parts {
			if c.holds(p, f, rows) {
				held++
			}
		}
		return held == len(parts) || logic == " or " && held > 0
	}
	if m := present.FindStringSubmatch(condition); m != nil {
		_, ok := c.field(m[1], f, rows)
		return ok
	}
	if m := matches.FindStringSubmatch(condition); m != nil {
		value, ok := c.field(m[1], f, rows)
		found := strings.Contains(value, strings.ReplaceAll(m[4], `\"`, `"`))
		if m[4] == "" {
			found = regexp.MustCompile(m[3]).MatchString(value)
		}
		return ok && found != (m[2] != "")
	}
	m := comparison.FindStringSubmatch(condition)
	if m == nil {
		c.t.Errorf("an unknown condition of Insights: %s", condition)
		return false
	}
	value, _ := c.field(m[1], f, rows)
	if m[2] == ">" {
		return number64(value) > number64(m[3])
	}
	return value == m[3]
}

// field is a field of a line. Some line must have it.
func (c *cloudWatchLogs) field(name string, f fields, rows []fields) (string, bool) {
	if !slices.ContainsFunc(rows, func(f fields) bool { _, ok := f[name]; return ok }) {
		c.t.Errorf("the runbook asks for the field %s, which no line has", name)
	}
	value, ok := f[name]
	return value, ok
}

func number64(text string) float64 {
	n, _ := strconv.ParseFloat(text, 64)
	return n
}

var (
	commas    = regexp.MustCompile(`[^,(]+(?:\([^)]*\)[^,(]*)*`)
	aggregate = regexp.MustCompile(`^(\w+)\((?:strcontains\(@message, "(.*)"\)|(\S*?)(?:, \d+)?)\)(?: / (\d+))?(?: as (\w+))?$`)
)

// stats aggregates lines.
func (c *cloudWatchLogs) stats(expression string, rows []fields) (groups []fields, columns []string) {
	aggregates, by, _ := strings.Cut(expression, " by ")
	keys := commas.FindAllString(by, -1)
	for i := range keys {
		keys[i] = strings.TrimSpace(keys[i])
	}
	byKey := map[string][]fields{}
	var order []string
	for _, f := range rows {
		key := ""
		for _, k := range keys {
			if !strings.HasPrefix(k, "bin(") {
				value, _ := c.field(k, f, rows)
				key += value + "\x00"
			}
		}
		if byKey[key] == nil {
			order = append(order, key)
		}
		byKey[key] = append(byKey[key], f)
	}
	columns = slices.Clone(keys)
	for _, key := range order {
		group := fields{}
		for i, k := range keys {
			group[k] = "2026-11-24 12:00:00.000"
			if !strings.HasPrefix(k, "bin(") {
				group[k] = strings.Split(key, "\x00")[i]
			}
		}
		for _, a := range commas.FindAllString(aggregates, -1) {
			m := aggregate.FindStringSubmatch(strings.TrimSpace(a))
			if m == nil {
				c.t.Errorf("an unknown aggregate of Insights: %s", a)
				continue
			}
			name := m[5]
			if name == "" {
				name = strings.TrimSpace(a)
			}
			if !slices.Contains(columns, name) {
				columns = append(columns, name)
			}
			group[name] = c.aggregated(m[1], m[2], m[3], m[4], byKey[key], rows)
		}
		groups = append(groups, group)
	}
	return groups, columns
}

func (c *cloudWatchLogs) aggregated(function, text, name, by string, group, rows []fields) string {
	var values []string
	for _, f := range group {
		switch {
		case text != "":
			values = append(values, map[bool]string{true: "1", false: "0"}[strings.Contains(f["@message"], text)])
		case name == "*":
			values = append(values, "1")
		default:
			if value, ok := c.field(name, f, rows); ok {
				values = append(values, value)
			}
		}
	}
	if len(values) == 0 {
		return ""
	}
	total, largest := 0.0, number64(values[0])
	for _, v := range values {
		total, largest = total+number64(v), max(largest, number64(v))
	}
	switch function {
	case "count":
		return strconv.Itoa(len(values))
	case "latest":
		return values[len(values)-1]
	case "sum":
		largest = total
	case "max", "pct": // of some lines one percentile is as good as the other
	default:
		c.t.Errorf("an unknown function of Insights: %s", function)
	}
	if by != "" {
		largest /= number64(by)
	}
	return strconv.FormatFloat(largest, 'f', -1, 64)
}
