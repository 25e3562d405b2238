package deploying

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spillwayhq/spillway/cmd/spillway/terminal"
)

// A Change is what a change set does to one resource, in CloudFormation's words.
type Change struct {
	Action      string // Add, Modify, Remove, Import or Dynamic
	LogicalID   string `xml:"LogicalResourceId"`
	PhysicalID  string `xml:"PhysicalResourceId"` // empty: it does not exist yet
	Type        string `xml:"ResourceType"`
	Replacement string // True, False or Conditional, of Modify
	Policy      string `xml:"PolicyAction"` // what becomes of a resource that is removed or replaced, like Retain
	Details     []struct {
		Attribute  string `xml:"Target>Attribute"`
		Name       string `xml:"Target>Name"`
		Recreation string `xml:"Target>RequiresRecreation"` // Never, Conditionally or Always
	} `xml:"Details>member"`
}

// name is how people call the resource: its own name if it has one already.
func (c *Change) name() string {
	if c.PhysicalID == "" {
		return c.LogicalID
	}
	return c.PhysicalID[strings.LastIndexAny(c.PhysicalID, "/:")+1:]
}

func (c *Change) replaces() bool { return c.Action == "Modify" && c.Replacement == "True" }

// mayReplace reports whether CloudFormation knows only while it deploys if it replaces the resource.
func (c *Change) mayReplace() bool {
	return c.Action == "Modify" && c.Replacement == "Conditional" || c.Action == "Dynamic"
}

// properties are those that change, each once; with only those that make a new resource necessary.
func (c *Change) properties(only bool) []string {
	var names []string
	for _, d := range c.Details {
		if only && (d.Recreation == "" || d.Recreation == "Never") {
			continue
		}
		name := d.Name
		if name == "" {
			name = d.Attribute
		}
		if name != "" && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

// String is the line of a change.
func (c *Change) String() string {
	sign, verb, more := "~", "change", ""
	switch {
	case c.Action == "Add":
		sign, verb = "+", "add"
	case c.Action == "Import":
		sign, verb = "+", "import"
	case c.Action == "Remove":
		sign, verb = "-", "remove"
		if c.Policy == "Retain" {
			more = "retained outside of the stack"
		}
	case c.replaces():
		sign, verb = "!", "replace"
		more = strings.Join(c.properties(true), ", ")
	case c.mayReplace():
		sign, verb = "!", "replace?"
		more = strings.Join(c.properties(true), ", ")
	default:
		more = strings.Join(c.properties(false), ", ")
	}
	line := fmt.Sprintf("%s %-8s  %-34s %s", sign, verb, terminal.OneLine(c.Type), terminal.OneLine(c.name()))
	if more != "" {
		line += " (" + terminal.OneLine(more) + ")"
	}
	return line
}

// order is how changes are shown: what takes something away first, then what changes, then what is
// new.
func order(a, b Change) int {
	rank := func(c *Change) int {
		return slices.IndexFunc([]bool{c.Action == "Remove", c.replaces(), c.mayReplace(), c.Action != "Add", true},
			func(is bool) bool { return is })
	}
	if ra, rb := rank(&a), rank(&b); ra != rb {
		return ra - rb
	}
	if a.Type != b.Type {
		return strings.Compare(a.Type, b.Type)
	}
	return strings.Compare(a.LogicalID, b.LogicalID)
}

// show writes a line for each change, and how many there are.
func show(w io.Writer, changes []Change) {
	changes = slices.SortedFunc(slices.Values(changes), order)
	var added, changed, replaced, removed int
	for i := range changes {
		c := &changes[i]
		fmt.Fprintf(w, "  %s\n", c)
		switch {
		case c.Action == "Remove":
			removed++
		case c.replaces(), c.mayReplace():
			replaced++
		case c.Action == "Add", c.Action == "Import":
			added++
		default:
			changed++
		}
	}
	fmt.Fprintf(w, "%d to add, %d to change, %d to replace, %d to remove\n", added, changed, replaced, removed)
	for i := range changes {
		if note := changes[i].note(); note != "" {
			fmt.Fprintln(w, "Note:", terminal.OneLine(note))
		}
	}
}

// note is what people should know of a change that is not refused; empty: nothing.
func (c *Change) note() string {
	gone := c.Action == "Remove" || c.replaces()
	if gone && (c.Type == "AWS::ApiGatewayV2::Api" || c.Type == "AWS::Lambda::Url") {
		return "the URL of the ingest endpoint " + c.name() + " ends, and SDKs that use it get no answer"
	}
	return ""
}

// held are the types of resources that hold something which a deployment must not take away
// unasked: what people call them, and what would be lost.
var held = map[string][2]string{
	"AWS::SQS::Queue":      {"queue", "events that wait in it would not be delivered"},
	"AWS::S3::Bucket":      {"bucket", "the archive in it would no longer be written to or found"},
	"AWS::DynamoDB::Table": {"table", "its items would be lost"},
	"AWS::Glue::Table":     {"table", "queries of Athena would no longer find it"},
}

// refused are the changes that a deployment refuses, a line each: those that replace or remove what
// holds something, unless allowed has the resource's name or logical ID.
func refused(changes []Change, allowed []string) (lines []string) {
	for i := range changes {
		c := &changes[i]
		kind, holds := held[c.Type]
		var would string
		switch {
		case !holds, slices.Contains(allowed, c.LogicalID), slices.Contains(allowed, c.name()):
			continue
		case c.Action == "Remove" && c.Policy == "Retain":
			would = "remove from the stack, and retain outside of it,"
		case c.Action == "Remove":
			would = "delete"
		case c.replaces():
			would = "put another one in the place of"
		case c.mayReplace():
			would = "perhaps put another one in the place of"
		default:
			continue
		}
		line := fmt.Sprintf("it would %s the %s %s", would, kind[0], c.name())
		if because := c.properties(true); len(because) > 0 && c.Action != "Remove" {
			line += ", because of " + strings.Join(because, ", ")
		}
		lines = append(lines, terminal.OneLine(fmt.Sprintf("%s: %s. To do it all the same: --allow-replacement %s", line,
			kind[1], c.name())))
	}
	return lines
}

// unused are the names of allowed that no change has: a typing error must not look like consent.
func unused(changes []Change, allowed []string) (names []string) {
	for _, name := range allowed {
		if !slices.ContainsFunc(changes, func(c Change) bool {
			_, holds := held[c.Type]
			return holds && (c.LogicalID == name || c.name() == name)
		}) {
			names = append(names, name)
		}
	}
	return names
}
