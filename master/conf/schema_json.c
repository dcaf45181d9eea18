/* The table of keys as JSON Schema, dialect 2020-12.

   YAML's scalars come to a validator as texts, numbers, true and false by their looks, while what they mean to us depends on the key: where a text is wanted, a number is one too. */
#include <cjson/cJSON.h>
#include <stdlib.h>
#include <string.h>

#include "common/str.h"
#include "master/conf/pipeline.h"
#include "master/conf/schema_int.h"

#define DIALECT "https://json-schema.org/draft/2020-12/schema"
#define NAME_PATTERN "[A-Za-z0-9][A-Za-z0-9._-]{0,63}"
#define VALUE_PATTERN "[A-Za-z0-9._+-]{1,32}"
#define BUILDER_PATTERN NAME_PATTERN "(\\[" VALUE_PATTERN "(," VALUE_PATTERN ")*\\])?"
#define WORD_PATTERN "[A-Za-z_][A-Za-z0-9_]{0,254}"
#define EXPRESSION "\\$\\{\\{"

/* What the table can't say: of the whole map. */
static const struct { enum schema_group group; const char *json; } extra[] = {
  { SCHEMA_PIPELINE, "{\"oneOf\": [{\"required\": [\"steps\"]}, {\"required\": [\"builders\"]}]}" },
  { SCHEMA_PROJECT, "{\"not\": {\"required\": [\"steps\", \"builders\"]}, \"dependentRequired\": {\"layout\": [\"svn\"]}, \"if\": {\"required\": [\"codebases\"]}, "
    "\"then\": {\"properties\": {\"git\": false, \"svn\": false, \"hg\": false, \"layout\": false, \"branches\": false, \"poll\": false, \"first\": false, \"hook\": false, \"key\": false, \"host_keys\": false, \"token\": false}}, "
    "\"else\": {\"oneOf\": [{\"required\": [\"git\"]}, {\"required\": [\"svn\"]}, {\"required\": [\"hg\"]}], \"properties\": {\"main\": false, \"stamps\": false}}}" },
  { SCHEMA_CODEBASE, "{\"oneOf\": [{\"required\": [\"git\"]}, {\"required\": [\"svn\"]}, {\"required\": [\"hg\"]}], \"dependentRequired\": {\"layout\": [\"svn\"]}}" },
  { SCHEMA_BUILDER, "{\"required\": [\"steps\"]}" },
  { SCHEMA_TEMPLATE, "{\"required\": [\"steps\"]}" },
  { SCHEMA_STEP, "{\"oneOf\": [{\"required\": [\"run\"]}, {\"required\": [\"checkout\"]}, {\"required\": [\"use\"]}, {\"required\": [\"trigger\"]}], \"dependentRequired\": {\"with\": [\"use\"]}}" },
  { SCHEMA_SECRET, "{\"oneOf\": [{\"required\": [\"file\"]}, {\"required\": [\"store\"]}]}" },
  { SCHEMA_PARAMETER, "{\"if\": {\"properties\": {\"type\": {\"const\": \"choice\"}}, \"required\": [\"type\"]}, \"then\": {\"required\": [\"choices\"]}, \"else\": {\"properties\": {\"choices\": false}}}" },
};

/* ---- pieces ---- */

static cJSON *parsed(const char *json)
{
  cJSON *it = cJSON_Parse(json);

  if (!it)
    abort(); /* our own texts */
  return it;
}

static void add_text(cJSON *o, const char *key, const char *text)
{
  cJSON_AddStringToObject(o, key, text);
}

/* Words separated by blanks. */
static cJSON *words(const char *s)
{
  cJSON *list = cJSON_CreateArray();

  for (; s && *s; s += strcspn(s, " "), s += *s == ' ') {
    char *word = xstrndup(s, strcspn(s, " "));
    cJSON_AddItemToArray(list, cJSON_CreateString(word));
    free(word);
  }
  return list;
}

static cJSON *of_type(const char *types)
{
  cJSON *o = cJSON_CreateObject(), *list = words(types);

  if (cJSON_GetArraySize(list) > 1) {
    cJSON_AddItemToObject(o, "type", list);
  } else {
    add_text(o, "type", types);
    cJSON_Delete(list);
  }
  return o;
}

/* A text of that pattern; a number and the rest only where looks deceive. */
static cJSON *of_pattern(const char *types, const char *pattern)
{
  cJSON *o = of_type(types);

  add_text(o, "pattern", pattern);
  return o;
}

static void add_reference(cJSON *o, enum schema_group group)
{
  char *path = xasprintf("#/$defs/%s", schema_group_name(group));

  add_text(o, "$ref", path);
  free(path);
}

static cJSON *reference(enum schema_group group)
{
  cJSON *o = cJSON_CreateObject();

  add_reference(o, group);
  return o;
}

static cJSON *list_of(cJSON *item, int least)
{
  cJSON *o = of_type("array");

  if (least)
    cJSON_AddNumberToObject(o, "minItems", least);
  cJSON_AddItemToObject(o, "items", item);
  return o;
}

static cJSON *map_of(const char *name, cJSON *value, bool empty)
{
  cJSON *o = of_type(empty ? "object null" : "object"), *names = cJSON_AddObjectToObject(o, "propertyNames");

  add_text(names, "pattern", name);
  cJSON_AddItemToObject(o, "additionalProperties", value);
  return o;
}

/* One of them, where there are several. Takes the list. */
static cJSON *any_of(cJSON *list)
{
  cJSON *o;

  if (cJSON_GetArraySize(list) == 1) {
    o = cJSON_DetachItemFromArray(list, 0);
    cJSON_Delete(list);
    return o;
  }
  o = cJSON_CreateObject();
  cJSON_AddItemToObject(o, "anyOf", list);
  return o;
}

/* ---- types ---- */

/* Whatever stands there, but nothing and no expression, which has places of its own. */
static cJSON *plain_text(bool some)
{
  cJSON *o = of_type("string number boolean");

  if (some)
    cJSON_AddNumberToObject(o, "minLength", 1);
  cJSON_AddItemToObject(o, "not", parsed("{\"type\": \"string\", \"pattern\": \"\\\\$\\\\{\\\\{\"}"));
  return o;
}

static cJSON *script(void)
{
  cJSON *o = of_type("string number boolean");

  cJSON_AddNumberToObject(o, "minLength", 1);
  cJSON_AddNumberToObject(o, "maxLength", SCHEMA_SCRIPT_MAX);
  return o;
}

static cJSON *whole_number(const struct key *k)
{
  cJSON *o = of_type("integer");

  cJSON_AddNumberToObject(o, "minimum", (double)k->min);
  cJSON_AddNumberToObject(o, "maximum", (double)k->max);
  return o;
}

/* "0", or digits and a unit. */
static cJSON *with_unit(const char *pattern)
{
  cJSON *list = cJSON_CreateArray();

  cJSON_AddItemToArray(list, of_pattern("string", pattern));
  cJSON_AddItemToArray(list, parsed("{\"const\": 0}"));
  return any_of(list);
}

static cJSON *matrix(void)
{
  cJSON *o = of_type("object"), *properties, *value, *list, *either;

  cJSON_AddNumberToObject(o, "minProperties", 1);
  cJSON_AddNumberToObject(o, "maxProperties", PIPELINE_AXES_MAX + 2);
  add_text(cJSON_AddObjectToObject(o, "propertyNames"), "pattern", "^(?!DROVER_)" WORD_PATTERN "$");
  properties = cJSON_AddObjectToObject(o, "properties");
  for (int i = 0; i < 2; i++) {
    cJSON *item = map_of("^" WORD_PATTERN "$", of_pattern("string number boolean", "^" VALUE_PATTERN "$"), false);
    cJSON_AddNumberToObject(item, "minProperties", 1);
    list = cJSON_CreateArray();
    cJSON_AddItemToArray(list, cJSON_Duplicate(item, true));
    cJSON_AddItemToArray(list, list_of(item, 0));
    cJSON_AddItemToObject(properties, i ? "include" : "exclude", any_of(list));
  }
  value = of_pattern("string number boolean", "^" VALUE_PATTERN "$");
  list = list_of(cJSON_Duplicate(value, true), 1);
  cJSON_AddNumberToObject(list, "maxItems", PIPELINE_COMBINATIONS_MAX);
  cJSON_AddBoolToObject(list, "uniqueItems", true);
  either = cJSON_CreateArray();
  cJSON_AddItemToArray(either, value);
  cJSON_AddItemToArray(either, list);
  cJSON_AddItemToObject(o, "additionalProperties", any_of(either));
  return o;
}

static cJSON *arguments(void)
{
  cJSON *o = list_of(of_type("string number boolean"), 1), *first = cJSON_AddArrayToObject(o, "prefixItems");

  cJSON_AddItemToArray(first, script());
  return o;
}

/* A map of that key alone. */
static cJSON *one_key(const char *key, cJSON *value)
{
  cJSON *o = of_type("object");

  cJSON_AddItemToArray(cJSON_AddArrayToObject(o, "required"), cJSON_CreateString(key));
  cJSON_AddItemToObject(cJSON_AddObjectToObject(o, "properties"), key, value);
  cJSON_AddBoolToObject(o, "additionalProperties", false);
  return o;
}

/* A secret's name, alone or as what it is to be. */
static cJSON *taken(void)
{
  static const char *const ways[] = { "env", "file" };
  cJSON *list = cJSON_CreateArray();

  cJSON_AddItemToArray(list, of_pattern("string number boolean", "^" NAME_PATTERN "$"));
  for (size_t i = 0; i < COUNT(ways); i++)
    cJSON_AddItemToArray(list, one_key(ways[i], of_pattern("string number boolean", "^" NAME_PATTERN "$")));
  return any_of(list);
}

/* How many of a lock, alone or with the variable that names them. */
static cJSON *locked(void)
{
  static const char take[] = "{\"anyOf\": [{\"type\": \"integer\", \"minimum\": 0, \"maximum\": 100000}, {\"type\": \"string\", \"pattern\": \"^(exclusive|[0-9]{1,6})$\"}]}";
  cJSON *list = cJSON_CreateArray(), *o = of_type("object"), *properties = cJSON_AddObjectToObject(o, "properties");

  cJSON_AddItemToObject(properties, "take", parsed(take));
  cJSON_AddItemToObject(properties, "as", of_pattern("string", "^(?!DROVER_)" WORD_PATTERN "$"));
  cJSON_AddItemToArray(cJSON_AddArrayToObject(o, "required"), cJSON_CreateString("take"));
  cJSON_AddBoolToObject(o, "additionalProperties", false);
  cJSON_AddItemToArray(list, parsed(take));
  cJSON_AddItemToArray(list, o);
  return any_of(list);
}

static cJSON *steps(const struct key *k)
{
  cJSON *list = cJSON_CreateArray();

  cJSON_AddItemToArray(list, script());
  cJSON_AddItemToArray(list, reference(k->sub));
  return list_of(any_of(list), 1);
}

static cJSON *includes(const struct key *k)
{
  cJSON *list = cJSON_CreateArray(), *one;

  cJSON_AddItemToArray(list, plain_text(true));
  cJSON_AddItemToArray(list, reference(k->sub));
  one = any_of(list);
  list = cJSON_CreateArray();
  cJSON_AddItemToArray(list, cJSON_Duplicate(one, true));
  cJSON_AddItemToArray(list, list_of(one, 0));
  return any_of(list);
}

/* A scalar type of the table. */
static cJSON *scalar(unsigned type, const struct key *k)
{
  cJSON *o;

  switch (type) {
  case T_TEXT: return k->live ? of_pattern("string number boolean", k->empty ? "" : ".") : plain_text(!k->empty);
  case T_SCRIPT: return script();
  case T_NAME: return of_pattern("string number boolean", "^" NAME_PATTERN "$");
  case T_BUILDER:
    return of_pattern("string number boolean", k->abroad ? "^(" NAME_PATTERN "/)?" BUILDER_PATTERN "$" : "^" BUILDER_PATTERN "$");
  case T_BOOL: return of_type("boolean");
  case T_INT: return whole_number(k);
  case T_DURATION: return with_unit("^(0|(0|[1-9][0-9]{0,17})(ms|s|m|h|d))$");
  case T_SIZE: return with_unit("^(0|(0|[1-9][0-9]{0,17})[KMGT])$");
  case T_ADDRESS: return of_pattern("string", "^.+:[0-9]{1,5}$");
  case T_PATH: return of_pattern("string number boolean", "^(?!/)(?!(.*/)?\\.\\.(/|$)).+$");
  case T_BRANCH: return of_pattern("string number boolean", "^(?![/-])[A-Za-z0-9._/+@*?-]{1,255}$");
  case T_URL: return of_pattern("string", "^https?://[^/].*$");
  case T_NETWORK: return of_pattern("string", "^[0-9A-Fa-f.:]+(/[0-9]{1,3})?$");
  case T_SCALAR: return of_type("string number boolean");
  default:
    o = cJSON_CreateObject();
    cJSON_AddItemToObject(o, "enum", words(k->words));
    return o;
  }
}

static void add_scalars(cJSON *list, uint64_t types, const struct key *k)
{
  for (unsigned bit = 1; bit <= T_WORD; bit <<= 1)
    if (types & bit)
      cJSON_AddItemToArray(list, scalar(bit, k));
  if (types & T_PTY)
    cJSON_AddItemToArray(list, of_pattern("string", "^[1-9][0-9]{0,3}x[1-9][0-9]{0,3}$"));
  if (k->fixed)
    cJSON_AddItemToArray(list, of_pattern("string", EXPRESSION));
}

static cJSON *input(const struct key *k)
{
  cJSON *list = cJSON_CreateArray(), *item = cJSON_CreateArray(), *yes = cJSON_CreateObject();

  cJSON_AddItemToArray(cJSON_AddArrayToObject(yes, "enum"), cJSON_CreateTrue());
  add_scalars(item, T_TEXT, k);
  cJSON_AddItemToArray(item, one_key("secret", of_pattern("string number boolean", "^" NAME_PATTERN "$")));
  cJSON_AddItemToArray(list, cJSON_Duplicate(cJSON_GetArrayItem(item, 1), true));
  cJSON_AddItemToArray(list, one_key("open", yes));
  cJSON_AddItemToArray(list, list_of(any_of(item), 1));
  return any_of(list);
}

/* A list of builders and of maps builder → good or soft, or such a map. */
static cJSON *needs(const struct key *k)
{
  cJSON *map = of_type("object"), *either = cJSON_CreateArray(), *item = cJSON_CreateArray();

  cJSON_AddItemToObject(map, "additionalProperties", parsed("{\"enum\": [\"good\", \"soft\"]}"));
  cJSON_AddItemToArray(either, cJSON_Duplicate(map, true));
  add_scalars(item, k->types, k);
  cJSON_AddItemToArray(item, map);
  cJSON_AddItemToArray(either, list_of(any_of(item), 0));
  return any_of(either);
}

static cJSON *exits(const struct key *k)
{
  cJSON *o = cJSON_CreateObject();

  cJSON_AddItemToObject(o, "enum", words(k->words));
  o = map_of("^(0|[1-9][0-9]?|1[0-9][0-9]|2[0-4][0-9]|25[0-5])$", o, false);
  cJSON_AddNumberToObject(o, "minProperties", 1);
  return o;
}

/* Options, codebases with options, or a list of both kinds of codebases. */
static cJSON *checkout(const struct key *k)
{
  cJSON *list = cJSON_CreateArray(), *item = cJSON_CreateArray(), *one, *codebases = of_type("object");

  one = cJSON_CreateArray();
  cJSON_AddItemToArray(one, reference(k->sub));
  cJSON_AddItemToArray(one, of_type("null"));
  add_text(cJSON_AddObjectToObject(codebases, "propertyNames"), "pattern", "^" NAME_PATTERN "$");
  cJSON_AddNumberToObject(codebases, "minProperties", 1);
  cJSON_AddItemToObject(codebases, "additionalProperties", any_of(one));
  cJSON_AddItemToArray(list, of_type("null"));
  cJSON_AddItemToArray(list, reference(k->sub));
  cJSON_AddItemToArray(list, cJSON_Duplicate(codebases, true));
  cJSON_AddItemToArray(item, of_pattern("string number boolean", "^" NAME_PATTERN "$"));
  cJSON_AddItemToArray(item, codebases);
  cJSON_AddItemToArray(list, list_of(any_of(item), 1));
  return any_of(list);
}

static cJSON *value_of(const struct key *k)
{
  cJSON *list = cJSON_CreateArray();

  if (k->types & T_CHECKOUT && !schema_has_word(k->words, "none"))
    cJSON_AddItemToArray(list, of_pattern("string number boolean", "^(?!none$)" NAME_PATTERN "$"));
  else
    add_scalars(list, k->types | (k->types & T_STRINGS ? k->item : 0), k);
  if (k->types & T_STRINGS) {
    cJSON *item = cJSON_CreateArray();
    add_scalars(item, k->item, k);
    cJSON_AddItemToArray(list, list_of(any_of(item), 0));
  }
  if (k->types & T_ARGV)
    cJSON_AddItemToArray(list, arguments());
  if (k->types & T_MAP)
    cJSON_AddItemToArray(list, reference(k->sub));
  if (k->types & T_NAMED)
    cJSON_AddItemToArray(list, map_of("^" NAME_PATTERN "$", reference(k->sub), true));
  if (k->types & T_ENV)
    cJSON_AddItemToArray(list, map_of("^(?!DROVER_)" WORD_PATTERN "$", of_type("string number boolean"), true));
  if (k->types & T_VALUES)
    cJSON_AddItemToArray(list, map_of("^" WORD_PATTERN "$", of_type("string number boolean"), true));
  if (k->types & T_TAKES)
    cJSON_AddItemToArray(list, map_of("^(?!DROVER_)" WORD_PATTERN "$", taken(), true));
  if (k->types & T_LOGS)
    cJSON_AddItemToArray(list, map_of("^" WORD_PATTERN "$", of_type("string number boolean"), true));
  if (k->types & T_INPUT)
    cJSON_AddItemToArray(list, input(k));
  if (k->types & T_LOCKS)
    cJSON_AddItemToArray(list, map_of("^" NAME_PATTERN "$", locked(), true));
  if (k->types & T_STEPS)
    cJSON_AddItemToArray(list, steps(k));
  if (k->types & T_CONDITION)
    cJSON_AddItemToArray(list, of_type("string boolean"));
  if (k->types & T_FORMULA)
    cJSON_AddItemToArray(list, of_type("string"));
  if (k->types & T_MATRIX)
    cJSON_AddItemToArray(list, matrix());
  if (k->types & T_INCLUDES)
    cJSON_AddItemToArray(list, includes(k));
  if (k->types & T_EXITS)
    cJSON_AddItemToArray(list, exits(k));
  if (k->types & T_NEEDS)
    cJSON_AddItemToArray(list, needs(k));
  if (k->types & T_CHECKOUT)
    cJSON_AddItemToArray(list, checkout(k));
  return any_of(list);
}

/* ---- maps ---- */

static void add_default(cJSON *o, const struct key *k)
{
  int64_t v;

  if (k->types & T_BOOL)
    cJSON_AddBoolToObject(o, "default", str_eq(k->fallback, "true"));
  else if (k->types & T_INT && !str_number(k->fallback, strlen(k->fallback), &v))
    cJSON_AddNumberToObject(o, "default", (double)v);
  else
    add_text(o, "default", k->fallback);
}

static cJSON *property(const struct key *k)
{
  cJSON *o = value_of(k);
  char *doc = xasprintf("%s%s%s%s", k->doc, k->restart ? " Restart the master to change it." : "", k->example ? " Example: " : "", k->example ? k->example : "");

  add_text(o, "description", doc);
  if (k->fallback)
    add_default(o, k);
  free(doc);
  return o;
}

static cJSON *map(enum schema_group group)
{
  cJSON *o, *properties = cJSON_CreateObject(), *required = cJSON_CreateArray();
  const struct key *k;
  bool more = false;

  for (size_t i = 0; (k = schema_row(i)); i++) {
    if (!k->key || !(k->in & UINT64_C(1) << group))
      continue;
    cJSON_AddItemToObject(properties, k->key, property(k));
    if (k->required)
      cJSON_AddItemToArray(required, cJSON_CreateString(k->key));
  }
  for (size_t i = 0; i < COUNT(extra); i++)
    more |= extra[i].group == group;
  o = of_type(more || cJSON_GetArraySize(required) ? "object" : "object null"); /* one that is written, with nothing in it */
  add_text(o, "title", schema_title(group));
  cJSON_AddItemToObject(o, "properties", properties);
  cJSON_AddItemToObject(o, "required", required);
  cJSON_AddBoolToObject(o, "additionalProperties", false);
  for (size_t i = 0; i < COUNT(extra); i++)
    if (extra[i].group == group) {
      cJSON *json = parsed(extra[i].json), *it;
      while ((it = json->child)) {
        it = cJSON_DetachItemViaPointer(json, it);
        cJSON_DeleteItemFromObjectCaseSensitive(o, it->string);
        cJSON_AddItemToObject(o, it->string, it);
      }
      cJSON_Delete(json);
    }
  return o;
}

/* The groups that can be reached from one: a bit each. */
static uint64_t reach(enum schema_group root)
{
  uint64_t seen = UINT64_C(1) << root, before = 0;
  const struct key *k;

  while (seen != before) {
    before = seen;
    for (size_t i = 0; (k = schema_row(i)); i++)
      if (k->key && k->in & seen && k->types & (T_MAP | T_NAMED | T_STEPS | T_INCLUDES | T_CHECKOUT))
        seen |= UINT64_C(1) << k->sub;
  }
  return seen;
}

char *schema_json(enum schema_group root)
{
  cJSON *o = cJSON_CreateObject(), *defs;
  uint64_t groups = reach(root);
  char *text;

  add_text(o, "$schema", DIALECT);
  add_text(o, "description", root == SCHEMA_SITE ? "drover: master.yaml, the site's configuration. Made by: drover config schema site" : "drover: .drover.yml, a pipeline. Made by: drover config schema");
  add_reference(o, root);
  defs = cJSON_AddObjectToObject(o, "$defs");
  for (int g = 0; g < SCHEMA_GROUPS; g++)
    if (groups >> g & 1)
      cJSON_AddItemToObject(defs, schema_group_name((enum schema_group)g), map((enum schema_group)g));
  text = cJSON_Print(o);
  cJSON_Delete(o);
  return text;
}
