package template

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// What a template has in place of a value that depends on a condition: an object with one of these
// keys, and a list of the condition's name and one or two values. Where none is chosen, the member of
// an object, or the element of a list, is not there.
const (
	ifKey     = "Spillway::If"
	unlessKey = "Spillway::Unless"
)

// If is then while the condition holds, and otherwise the value behind it, or nothing.
func If(condition string, then any, otherwise ...any) any {
	return map[string]any{ifKey: append([]any{condition, then}, otherwise...)}
}

// Unless is the value while the condition does not hold, and otherwise nothing.
func Unless(condition string, value any) any {
	return map[string]any{unlessKey: []any{condition, value}}
}

// A Template is one without conditions, of which all parameters but BucketParameter have a value.
type Template struct {
	tree   map[string]any
	values map[string]string
}

// Resolve decides the conditions of a release's template, gives the functions' versions their logical
// IDs, and adds the parameters that are left. values are those of all parameters but BucketParameter.
// It is an error if the content is no such template.
func Resolve(content []byte, holding map[string]bool, values map[string]string) (*Template, error) {
	decoder := json.NewDecoder(bytes.NewReader(content))
	decoder.UseNumber()
	var tree map[string]any
	if err := decoder.Decode(&tree); err != nil {
		return nil, fmt.Errorf("read the template: %w", err)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("read the template: something follows its JSON")
	}
	if tree["Resources"] == nil {
		return nil, errors.New("read the template: it has no resources")
	}
	resolved, _, err := decide(tree, holding)
	if err != nil {
		return nil, err
	}
	t := &Template{tree: resolved.(map[string]any), values: values}
	if err := t.nameVersions(); err != nil {
		return nil, err
	}
	return t, t.addParameters()
}

// decide resolves the conditions below a value; there is false if nothing is left.
func decide(value any, holding map[string]bool) (resolved any, there bool, err error) {
	switch value := value.(type) {
	case map[string]any:
		for key, part := range value {
			if key == ifKey || key == unlessKey {
				chosen, there, err := choose(key, part, holding)
				if err != nil || !there {
					return nil, false, err
				}
				return decide(chosen, holding)
			}
		}
		out := make(map[string]any, len(value))
		for key, part := range value {
			part, there, err := decide(part, holding)
			if err != nil {
				return nil, false, err
			}
			if there {
				out[key] = part
			}
		}
		return out, true, nil
	case []any:
		out := make([]any, 0, len(value))
		for _, part := range value {
			part, there, err := decide(part, holding)
			if err != nil {
				return nil, false, err
			}
			if there {
				out = append(out, part)
			}
		}
		return out, true, nil
	}
	return value, true, nil
}

func choose(key string, of any, holding map[string]bool) (chosen any, there bool, err error) {
	parts, _ := of.([]any)
	if len(parts) < 2 || len(parts) > 3 || key == unlessKey && len(parts) != 2 {
		return nil, false, fmt.Errorf("read the template: %s has %d parts", key, len(parts))
	}
	name, _ := parts[0].(string)
	holds, known := holding[name]
	switch {
	case !known:
		return nil, false, fmt.Errorf("read the template: unknown condition %q", name)
	case holds == (key == ifKey):
		return parts[1], true, nil
	case len(parts) == 3:
		return parts[2], true, nil
	}
	return nil, false, nil
}

var versionHash = regexp.MustCompile(`[0-9a-f]{32}$`)

// VersionID is the logical ID of a function's version without the hash of what it is a version of.
func VersionID(id string) string { return versionHash.ReplaceAllString(id, "") }

// unversioned are the properties of a function that are no part of its versions. They are those that
// the CDK leaves out.
var unversioned = []string{"ReservedConcurrentExecutions", "CodeSigningConfigArn", "Tags"}

// nameVersions gives each version of a function a logical ID with a hash of the function's code and
// configuration. CloudFormation makes a new version only for another ID, and fails if there is nothing
// new in it. So the CDK puts a hash there too; but it can't know the values of parameters.
func (t *Template) nameVersions() error {
	resources, _ := t.tree["Resources"].(map[string]any)
	named := map[string]string{}
	for id, resource := range resources {
		resource, _ := resource.(map[string]any)
		if resource["Type"] != "AWS::Lambda::Version" {
			continue
		}
		properties, _ := resource["Properties"].(map[string]any)
		of, _ := properties["FunctionName"].(map[string]any)
		function, _ := resources[fmt.Sprint(of["Ref"])].(map[string]any)
		configuration, _ := function["Properties"].(map[string]any)
		if configuration == nil {
			return fmt.Errorf("read the template: the version %s is of no function", id)
		}
		configuration = maps.Clone(configuration)
		for _, name := range unversioned {
			delete(configuration, name)
		}
		content, err := json.Marshal(t.fill(configuration)) // with its keys in order
		if err != nil {
			return fmt.Errorf("name the version %s: %w", id, err)
		}
		sum := sha256.Sum256(content)
		named[id] = id + hex.EncodeToString(sum[:16])
	}
	t.tree = rename(t.tree, named).(map[string]any)
	return nil
}

// rename replaces logical IDs, which are keys, whole texts, and names in texts of Fn::Sub.
func rename(value any, named map[string]string) any {
	switch value := value.(type) {
	case map[string]any:
		out := make(map[string]any, len(value))
		for key, part := range value {
			if name, ok := named[key]; ok {
				key = name
			}
			out[key] = rename(part, named)
		}
		return out
	case []any:
		for i := range value {
			value[i] = rename(value[i], named)
		}
	case string:
		if name, ok := named[value]; ok {
			return name
		}
		return token.ReplaceAllStringFunc(value, func(found string) string {
			id, _, _ := strings.Cut(found[2:len(found)-1], ".")
			if name, ok := named[id]; ok {
				return strings.Replace(found, id, name, 1)
			}
			return found
		})
	}
	return value
}

var token = regexp.MustCompile(`\$\{([A-Za-z0-9:.]+)\}`)

// fill puts the values of parameters into a value.
func (t *Template) fill(value any) any {
	switch value := value.(type) {
	case map[string]any:
		if name, ok := value["Ref"].(string); ok && len(value) == 1 {
			if text, ok := t.values[name]; ok {
				return text
			}
		}
		if text, ok := value["Fn::Sub"].(string); ok && len(value) == 1 {
			return map[string]any{"Fn::Sub": token.ReplaceAllStringFunc(text, func(found string) string {
				if text, ok := t.values[found[2:len(found)-1]]; ok {
					return strings.ReplaceAll(text, "${", "${!")
				}
				return found
			})}
		}
		out := make(map[string]any, len(value))
		for key, part := range value {
			out[key] = t.fill(part)
		}
		return out
	case []any:
		out := make([]any, len(value))
		for i := range value {
			out[i] = t.fill(value[i])
		}
		return out
	}
	return value
}

// used are the names of all parameters and resources to which a value refers.
func used(value any, names map[string]bool) {
	switch value := value.(type) {
	case map[string]any:
		if name, ok := value["Ref"].(string); ok {
			names[name] = true
		}
		if text, ok := value["Fn::Sub"].(string); ok {
			for _, found := range token.FindAllStringSubmatch(text, -1) {
				names[found[1]] = true
			}
		}
		for _, part := range value {
			used(part, names)
		}
	case []any:
		for _, part := range value {
			used(part, names)
		}
	}
}

// Limits of CloudFormation (user guide, "CloudFormation quotas").
const (
	maxParameters = 200
	maxValue      = 4096    // bytes of a parameter's value
	maxTemplate   = 1 << 20 // bytes of a template in S3
)

// addParameters declares the parameters to which the template refers, and forgets the others.
func (t *Template) addParameters() error {
	names := map[string]bool{}
	used(t.tree, names)
	declared, values := map[string]any{}, map[string]string{}
	var errs []error
	declare := func(p Parameter) {
		if !names[p.Name] {
			return
		}
		is := map[string]any{"Type": p.Kind, "Description": p.About}
		if p.Secret {
			is["NoEcho"] = true
		}
		declared[p.Name] = is
		if p.Name == BucketParameter {
			return
		}
		value, ok := t.values[p.Name]
		if !ok {
			errs = append(errs, fmt.Errorf("the template needs a parameter %s, which is not known", p.Name))
		}
		if len(value) > maxValue {
			errs = append(errs, fmt.Errorf("the parameter %s must have at most %d bytes, has %d: make the settings shorter",
				p.Name, maxValue, len(value)))
		}
		values[p.Name] = value
	}
	for _, p := range parameters {
		declare(p)
	}
	declare(Parameter{Name: BucketParameter, Kind: Text, About: "the bucket with the functions' code"})
	resources, _ := t.tree["Resources"].(map[string]any)
	for name := range names {
		switch {
		case declared[name] != nil, strings.HasPrefix(name, "AWS::"), resources[name] != nil:
		case strings.Contains(name, ".") && resources[name[:strings.Index(name, ".")]] != nil:
		case strings.HasSuffix(name, codeSuffix):
			declare(Parameter{Name: name, Kind: Text, About: "the key of the function's code in the bucket"})
		default:
			errs = append(errs, fmt.Errorf("the template refers to %s, which it does not have", name))
		}
	}
	if len(declared) > maxParameters {
		errs = append(errs, fmt.Errorf("the template must have at most %d parameters, has %d", maxParameters, len(declared)))
	}
	t.tree["Parameters"], t.values = declared, values
	return errors.Join(errs...)
}

// JSON is the template as CloudFormation reads it. Equal templates are equal bytes.
func (t *Template) JSON() ([]byte, error) {
	var out bytes.Buffer
	encoder := json.NewEncoder(&out) // with keys in order
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", " ")
	if err := encoder.Encode(t.tree); err != nil {
		return nil, fmt.Errorf("write the template: %w", err)
	}
	if out.Len() > maxTemplate {
		return nil, fmt.Errorf("the template must have at most %d bytes, has %d", maxTemplate, out.Len())
	}
	return out.Bytes(), nil
}

// Values are those of the parameters that the template has, by name.
func (t *Template) Values() map[string]string { return maps.Clone(t.values) }

// Codes are the functions that the template has, by their folders in functions.
func (t *Template) Codes() []string {
	var folders []string
	for name := range t.values {
		if folder, ok := strings.CutSuffix(name, codeSuffix); ok {
			folders = append(folders, strings.ToLower(folder))
		}
	}
	slices.Sort(folders)
	return folders
}
