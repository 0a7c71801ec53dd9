# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_thongke_global_optspecs
    string join \n config= listen= admin-listen= data-dir= redis= log-format= h/help V/version
end

function __fish_thongke_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_thongke_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_thongke_using_subcommand
    set -l cmd (__fish_thongke_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c thongke -n "__fish_thongke_needs_command" -l config -d 'The configuration file (TOML) that names your sites; without one, thongke serves a demo site [env: THONGKE_CONFIG]' -r -F
complete -c thongke -n "__fish_thongke_needs_command" -l listen -d 'Where pages reach the counter: an address and a port [default: 127.0.0.1:8080] [env: THONGKE_LISTEN]' -r
complete -c thongke -n "__fish_thongke_needs_command" -l admin-listen -d 'Where you reach it: metrics, health, import and export; keep it off the internet [default: 127.0.0.1:8081] [env: THONGKE_ADMIN_LISTEN]' -r
complete -c thongke -n "__fish_thongke_needs_command" -l data-dir -d 'The folder that holds the counts [default: ./data] [env: THONGKE_DATA_DIR]' -r -F
complete -c thongke -n "__fish_thongke_needs_command" -l redis -d 'A Redis server that several nodes share, for example redis://10.0.0.5:6379; repeat it for further cluster seeds or sentinels [env: THONGKE_REDIS, separated by commas]' -r
complete -c thongke -n "__fish_thongke_needs_command" -l log-format -d 'How log lines are written [default: text] [env: THONGKE_LOG_FORMAT]' -r -f -a "text\t'For people'
json\t'One JSON object a line, for a log collector'"
complete -c thongke -n "__fish_thongke_needs_command" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c thongke -n "__fish_thongke_needs_command" -s V -l version -d 'Print version'
complete -c thongke -n "__fish_thongke_needs_command" -f -a "serve" -d 'Count and serve; what `thongke` alone does'
complete -c thongke -n "__fish_thongke_needs_command" -f -a "check" -d 'Check the configuration, and whether what it names can be used; 0: yes, perhaps with warnings, 1: something doesn\'t work, 2: the configuration is wrong'
complete -c thongke -n "__fish_thongke_needs_command" -f -a "health" -d 'Whether a running node counts: exit 0 or 1, for container engines and scripts'
complete -c thongke -n "__fish_thongke_needs_command" -f -a "backup" -d 'Copy the node\'s counts into a new file, while it runs or not; the copy is checked'
complete -c thongke -n "__fish_thongke_needs_command" -f -a "import" -d 'Take over old counts from a CSV file (`period,hits` or `period,page,hits`)'
complete -c thongke -n "__fish_thongke_needs_command" -f -a "export" -d 'Write all counts of a site as CSV'
complete -c thongke -n "__fish_thongke_needs_command" -f -a "figures" -d 'Show a site\'s figures as its pages show them'
complete -c thongke -n "__fish_thongke_needs_command" -f -a "sources" -d 'Show who contributed what to a site\'s counts'
complete -c thongke -n "__fish_thongke_needs_command" -f -a "bots" -d 'Show how many hits of a site were not counted, by day and kind: bots, prefetches, repeats'
complete -c thongke -n "__fish_thongke_needs_command" -f -a "verify" -d 'Compare what the node\'s file, Redis and the other nodes there know of sites; 0: all agrees, 1: something differs'
complete -c thongke -n "__fish_thongke_needs_command" -f -a "forget" -d 'Undo an import'
complete -c thongke -n "__fish_thongke_needs_command" -f -a "completions" -d 'Write what a shell needs to complete this command line'
complete -c thongke -n "__fish_thongke_needs_command" -f -a "manual" -d 'Write the manual pages into a folder'
complete -c thongke -n "__fish_thongke_needs_command" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c thongke -n "__fish_thongke_using_subcommand serve" -l config -d 'The configuration file (TOML) that names your sites; without one, thongke serves a demo site [env: THONGKE_CONFIG]' -r -F
complete -c thongke -n "__fish_thongke_using_subcommand serve" -l listen -d 'Where pages reach the counter: an address and a port [default: 127.0.0.1:8080] [env: THONGKE_LISTEN]' -r
complete -c thongke -n "__fish_thongke_using_subcommand serve" -l admin-listen -d 'Where you reach it: metrics, health, import and export; keep it off the internet [default: 127.0.0.1:8081] [env: THONGKE_ADMIN_LISTEN]' -r
complete -c thongke -n "__fish_thongke_using_subcommand serve" -l data-dir -d 'The folder that holds the counts [default: ./data] [env: THONGKE_DATA_DIR]' -r -F
complete -c thongke -n "__fish_thongke_using_subcommand serve" -l redis -d 'A Redis server that several nodes share, for example redis://10.0.0.5:6379; repeat it for further cluster seeds or sentinels [env: THONGKE_REDIS, separated by commas]' -r
complete -c thongke -n "__fish_thongke_using_subcommand serve" -l log-format -d 'How log lines are written [default: text] [env: THONGKE_LOG_FORMAT]' -r -f -a "text\t'For people'
json\t'One JSON object a line, for a log collector'"
complete -c thongke -n "__fish_thongke_using_subcommand serve" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c thongke -n "__fish_thongke_using_subcommand check" -l config -d 'The configuration file (TOML) that names your sites; without one, thongke serves a demo site [env: THONGKE_CONFIG]' -r -F
complete -c thongke -n "__fish_thongke_using_subcommand check" -l listen -d 'Where pages reach the counter: an address and a port [default: 127.0.0.1:8080] [env: THONGKE_LISTEN]' -r
complete -c thongke -n "__fish_thongke_using_subcommand check" -l admin-listen -d 'Where you reach it: metrics, health, import and export; keep it off the internet [default: 127.0.0.1:8081] [env: THONGKE_ADMIN_LISTEN]' -r
complete -c thongke -n "__fish_thongke_using_subcommand check" -l data-dir -d 'The folder that holds the counts [default: ./data] [env: THONGKE_DATA_DIR]' -r -F
complete -c thongke -n "__fish_thongke_using_subcommand check" -l redis -d 'A Redis server that several nodes share, for example redis://10.0.0.5:6379; repeat it for further cluster seeds or sentinels [env: THONGKE_REDIS, separated by commas]' -r
complete -c thongke -n "__fish_thongke_using_subcommand check" -l log-format -d 'How log lines are written [default: text] [env: THONGKE_LOG_FORMAT]' -r -f -a "text\t'For people'
json\t'One JSON object a line, for a log collector'"
complete -c thongke -n "__fish_thongke_using_subcommand check" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c thongke -n "__fish_thongke_using_subcommand health" -l config -d 'The configuration file (TOML) that names your sites; without one, thongke serves a demo site [env: THONGKE_CONFIG]' -r -F
complete -c thongke -n "__fish_thongke_using_subcommand health" -l listen -d 'Where pages reach the counter: an address and a port [default: 127.0.0.1:8080] [env: THONGKE_LISTEN]' -r
complete -c thongke -n "__fish_thongke_using_subcommand health" -l admin-listen -d 'Where you reach it: metrics, health, import and export; keep it off the internet [default: 127.0.0.1:8081] [env: THONGKE_ADMIN_LISTEN]' -r
complete -c thongke -n "__fish_thongke_using_subcommand health" -l data-dir -d 'The folder that holds the counts [default: ./data] [env: THONGKE_DATA_DIR]' -r -F
complete -c thongke -n "__fish_thongke_using_subcommand health" -l redis -d 'A Redis server that several nodes share, for example redis://10.0.0.5:6379; repeat it for further cluster seeds or sentinels [env: THONGKE_REDIS, separated by commas]' -r
complete -c thongke -n "__fish_thongke_using_subcommand health" -l log-format -d 'How log lines are written [default: text] [env: THONGKE_LOG_FORMAT]' -r -f -a "text\t'For people'
json\t'One JSON object a line, for a log collector'"
complete -c thongke -n "__fish_thongke_using_subcommand health" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c thongke -n "__fish_thongke_using_subcommand backup" -l config -d 'The configuration file (TOML) that names your sites; without one, thongke serves a demo site [env: THONGKE_CONFIG]' -r -F
complete -c thongke -n "__fish_thongke_using_subcommand backup" -l listen -d 'Where pages reach the counter: an address and a port [default: 127.0.0.1:8080] [env: THONGKE_LISTEN]' -r
complete -c thongke -n "__fish_thongke_using_subcommand backup" -l admin-listen -d 'Where you reach it: metrics, health, import and export; keep it off the internet [default: 127.0.0.1:8081] [env: THONGKE_ADMIN_LISTEN]' -r
complete -c thongke -n "__fish_thongke_using_subcommand backup" -l data-dir -d 'The folder that holds the counts [default: ./data] [env: THONGKE_DATA_DIR]' -r -F
complete -c thongke -n "__fish_thongke_using_subcommand backup" -l redis -d 'A Redis server that several nodes share, for example redis://10.0.0.5:6379; repeat it for further cluster seeds or sentinels [env: THONGKE_REDIS, separated by commas]' -r
complete -c thongke -n "__fish_thongke_using_subcommand backup" -l log-format -d 'How log lines are written [default: text] [env: THONGKE_LOG_FORMAT]' -r -f -a "text\t'For people'
json\t'One JSON object a line, for a log collector'"
complete -c thongke -n "__fish_thongke_using_subcommand backup" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c thongke -n "__fish_thongke_using_subcommand import" -l source -d 'A name for where the counts come from; importing under it again replaces them' -r
complete -c thongke -n "__fish_thongke_using_subcommand import" -l config -d 'The configuration file (TOML) that names your sites; without one, thongke serves a demo site [env: THONGKE_CONFIG]' -r -F
complete -c thongke -n "__fish_thongke_using_subcommand import" -l listen -d 'Where pages reach the counter: an address and a port [default: 127.0.0.1:8080] [env: THONGKE_LISTEN]' -r
complete -c thongke -n "__fish_thongke_using_subcommand import" -l admin-listen -d 'Where you reach it: metrics, health, import and export; keep it off the internet [default: 127.0.0.1:8081] [env: THONGKE_ADMIN_LISTEN]' -r
complete -c thongke -n "__fish_thongke_using_subcommand import" -l data-dir -d 'The folder that holds the counts [default: ./data] [env: THONGKE_DATA_DIR]' -r -F
complete -c thongke -n "__fish_thongke_using_subcommand import" -l redis -d 'A Redis server that several nodes share, for example redis://10.0.0.5:6379; repeat it for further cluster seeds or sentinels [env: THONGKE_REDIS, separated by commas]' -r
complete -c thongke -n "__fish_thongke_using_subcommand import" -l log-format -d 'How log lines are written [default: text] [env: THONGKE_LOG_FORMAT]' -r -f -a "text\t'For people'
json\t'One JSON object a line, for a log collector'"
complete -c thongke -n "__fish_thongke_using_subcommand import" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c thongke -n "__fish_thongke_using_subcommand export" -l config -d 'The configuration file (TOML) that names your sites; without one, thongke serves a demo site [env: THONGKE_CONFIG]' -r -F
complete -c thongke -n "__fish_thongke_using_subcommand export" -l listen -d 'Where pages reach the counter: an address and a port [default: 127.0.0.1:8080] [env: THONGKE_LISTEN]' -r
complete -c thongke -n "__fish_thongke_using_subcommand export" -l admin-listen -d 'Where you reach it: metrics, health, import and export; keep it off the internet [default: 127.0.0.1:8081] [env: THONGKE_ADMIN_LISTEN]' -r
complete -c thongke -n "__fish_thongke_using_subcommand export" -l data-dir -d 'The folder that holds the counts [default: ./data] [env: THONGKE_DATA_DIR]' -r -F
complete -c thongke -n "__fish_thongke_using_subcommand export" -l redis -d 'A Redis server that several nodes share, for example redis://10.0.0.5:6379; repeat it for further cluster seeds or sentinels [env: THONGKE_REDIS, separated by commas]' -r
complete -c thongke -n "__fish_thongke_using_subcommand export" -l log-format -d 'How log lines are written [default: text] [env: THONGKE_LOG_FORMAT]' -r -f -a "text\t'For people'
json\t'One JSON object a line, for a log collector'"
complete -c thongke -n "__fish_thongke_using_subcommand export" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c thongke -n "__fish_thongke_using_subcommand figures" -l config -d 'The configuration file (TOML) that names your sites; without one, thongke serves a demo site [env: THONGKE_CONFIG]' -r -F
complete -c thongke -n "__fish_thongke_using_subcommand figures" -l listen -d 'Where pages reach the counter: an address and a port [default: 127.0.0.1:8080] [env: THONGKE_LISTEN]' -r
complete -c thongke -n "__fish_thongke_using_subcommand figures" -l admin-listen -d 'Where you reach it: metrics, health, import and export; keep it off the internet [default: 127.0.0.1:8081] [env: THONGKE_ADMIN_LISTEN]' -r
complete -c thongke -n "__fish_thongke_using_subcommand figures" -l data-dir -d 'The folder that holds the counts [default: ./data] [env: THONGKE_DATA_DIR]' -r -F
complete -c thongke -n "__fish_thongke_using_subcommand figures" -l redis -d 'A Redis server that several nodes share, for example redis://10.0.0.5:6379; repeat it for further cluster seeds or sentinels [env: THONGKE_REDIS, separated by commas]' -r
complete -c thongke -n "__fish_thongke_using_subcommand figures" -l log-format -d 'How log lines are written [default: text] [env: THONGKE_LOG_FORMAT]' -r -f -a "text\t'For people'
json\t'One JSON object a line, for a log collector'"
complete -c thongke -n "__fish_thongke_using_subcommand figures" -l json -d 'Write them as JSON'
complete -c thongke -n "__fish_thongke_using_subcommand figures" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c thongke -n "__fish_thongke_using_subcommand sources" -l config -d 'The configuration file (TOML) that names your sites; without one, thongke serves a demo site [env: THONGKE_CONFIG]' -r -F
complete -c thongke -n "__fish_thongke_using_subcommand sources" -l listen -d 'Where pages reach the counter: an address and a port [default: 127.0.0.1:8080] [env: THONGKE_LISTEN]' -r
complete -c thongke -n "__fish_thongke_using_subcommand sources" -l admin-listen -d 'Where you reach it: metrics, health, import and export; keep it off the internet [default: 127.0.0.1:8081] [env: THONGKE_ADMIN_LISTEN]' -r
complete -c thongke -n "__fish_thongke_using_subcommand sources" -l data-dir -d 'The folder that holds the counts [default: ./data] [env: THONGKE_DATA_DIR]' -r -F
complete -c thongke -n "__fish_thongke_using_subcommand sources" -l redis -d 'A Redis server that several nodes share, for example redis://10.0.0.5:6379; repeat it for further cluster seeds or sentinels [env: THONGKE_REDIS, separated by commas]' -r
complete -c thongke -n "__fish_thongke_using_subcommand sources" -l log-format -d 'How log lines are written [default: text] [env: THONGKE_LOG_FORMAT]' -r -f -a "text\t'For people'
json\t'One JSON object a line, for a log collector'"
complete -c thongke -n "__fish_thongke_using_subcommand sources" -l json -d 'Write them as a JSON array'
complete -c thongke -n "__fish_thongke_using_subcommand sources" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c thongke -n "__fish_thongke_using_subcommand bots" -l config -d 'The configuration file (TOML) that names your sites; without one, thongke serves a demo site [env: THONGKE_CONFIG]' -r -F
complete -c thongke -n "__fish_thongke_using_subcommand bots" -l listen -d 'Where pages reach the counter: an address and a port [default: 127.0.0.1:8080] [env: THONGKE_LISTEN]' -r
complete -c thongke -n "__fish_thongke_using_subcommand bots" -l admin-listen -d 'Where you reach it: metrics, health, import and export; keep it off the internet [default: 127.0.0.1:8081] [env: THONGKE_ADMIN_LISTEN]' -r
complete -c thongke -n "__fish_thongke_using_subcommand bots" -l data-dir -d 'The folder that holds the counts [default: ./data] [env: THONGKE_DATA_DIR]' -r -F
complete -c thongke -n "__fish_thongke_using_subcommand bots" -l redis -d 'A Redis server that several nodes share, for example redis://10.0.0.5:6379; repeat it for further cluster seeds or sentinels [env: THONGKE_REDIS, separated by commas]' -r
complete -c thongke -n "__fish_thongke_using_subcommand bots" -l log-format -d 'How log lines are written [default: text] [env: THONGKE_LOG_FORMAT]' -r -f -a "text\t'For people'
json\t'One JSON object a line, for a log collector'"
complete -c thongke -n "__fish_thongke_using_subcommand bots" -l json -d 'Write them as a JSON array'
complete -c thongke -n "__fish_thongke_using_subcommand bots" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c thongke -n "__fish_thongke_using_subcommand verify" -l config -d 'The configuration file (TOML) that names your sites; without one, thongke serves a demo site [env: THONGKE_CONFIG]' -r -F
complete -c thongke -n "__fish_thongke_using_subcommand verify" -l listen -d 'Where pages reach the counter: an address and a port [default: 127.0.0.1:8080] [env: THONGKE_LISTEN]' -r
complete -c thongke -n "__fish_thongke_using_subcommand verify" -l admin-listen -d 'Where you reach it: metrics, health, import and export; keep it off the internet [default: 127.0.0.1:8081] [env: THONGKE_ADMIN_LISTEN]' -r
complete -c thongke -n "__fish_thongke_using_subcommand verify" -l data-dir -d 'The folder that holds the counts [default: ./data] [env: THONGKE_DATA_DIR]' -r -F
complete -c thongke -n "__fish_thongke_using_subcommand verify" -l redis -d 'A Redis server that several nodes share, for example redis://10.0.0.5:6379; repeat it for further cluster seeds or sentinels [env: THONGKE_REDIS, separated by commas]' -r
complete -c thongke -n "__fish_thongke_using_subcommand verify" -l log-format -d 'How log lines are written [default: text] [env: THONGKE_LOG_FORMAT]' -r -f -a "text\t'For people'
json\t'One JSON object a line, for a log collector'"
complete -c thongke -n "__fish_thongke_using_subcommand verify" -l repair -d 'Bring all that the file has to Redis again, and make counters there the sum of their sources'
complete -c thongke -n "__fish_thongke_using_subcommand verify" -l json -d 'Write what was found as a JSON object, by site'
complete -c thongke -n "__fish_thongke_using_subcommand verify" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c thongke -n "__fish_thongke_using_subcommand forget" -l source -d 'The import\'s name' -r
complete -c thongke -n "__fish_thongke_using_subcommand forget" -l config -d 'The configuration file (TOML) that names your sites; without one, thongke serves a demo site [env: THONGKE_CONFIG]' -r -F
complete -c thongke -n "__fish_thongke_using_subcommand forget" -l listen -d 'Where pages reach the counter: an address and a port [default: 127.0.0.1:8080] [env: THONGKE_LISTEN]' -r
complete -c thongke -n "__fish_thongke_using_subcommand forget" -l admin-listen -d 'Where you reach it: metrics, health, import and export; keep it off the internet [default: 127.0.0.1:8081] [env: THONGKE_ADMIN_LISTEN]' -r
complete -c thongke -n "__fish_thongke_using_subcommand forget" -l data-dir -d 'The folder that holds the counts [default: ./data] [env: THONGKE_DATA_DIR]' -r -F
complete -c thongke -n "__fish_thongke_using_subcommand forget" -l redis -d 'A Redis server that several nodes share, for example redis://10.0.0.5:6379; repeat it for further cluster seeds or sentinels [env: THONGKE_REDIS, separated by commas]' -r
complete -c thongke -n "__fish_thongke_using_subcommand forget" -l log-format -d 'How log lines are written [default: text] [env: THONGKE_LOG_FORMAT]' -r -f -a "text\t'For people'
json\t'One JSON object a line, for a log collector'"
complete -c thongke -n "__fish_thongke_using_subcommand forget" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c thongke -n "__fish_thongke_using_subcommand completions" -l config -d 'The configuration file (TOML) that names your sites; without one, thongke serves a demo site [env: THONGKE_CONFIG]' -r -F
complete -c thongke -n "__fish_thongke_using_subcommand completions" -l listen -d 'Where pages reach the counter: an address and a port [default: 127.0.0.1:8080] [env: THONGKE_LISTEN]' -r
complete -c thongke -n "__fish_thongke_using_subcommand completions" -l admin-listen -d 'Where you reach it: metrics, health, import and export; keep it off the internet [default: 127.0.0.1:8081] [env: THONGKE_ADMIN_LISTEN]' -r
complete -c thongke -n "__fish_thongke_using_subcommand completions" -l data-dir -d 'The folder that holds the counts [default: ./data] [env: THONGKE_DATA_DIR]' -r -F
complete -c thongke -n "__fish_thongke_using_subcommand completions" -l redis -d 'A Redis server that several nodes share, for example redis://10.0.0.5:6379; repeat it for further cluster seeds or sentinels [env: THONGKE_REDIS, separated by commas]' -r
complete -c thongke -n "__fish_thongke_using_subcommand completions" -l log-format -d 'How log lines are written [default: text] [env: THONGKE_LOG_FORMAT]' -r -f -a "text\t'For people'
json\t'One JSON object a line, for a log collector'"
complete -c thongke -n "__fish_thongke_using_subcommand completions" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c thongke -n "__fish_thongke_using_subcommand manual" -l config -d 'The configuration file (TOML) that names your sites; without one, thongke serves a demo site [env: THONGKE_CONFIG]' -r -F
complete -c thongke -n "__fish_thongke_using_subcommand manual" -l listen -d 'Where pages reach the counter: an address and a port [default: 127.0.0.1:8080] [env: THONGKE_LISTEN]' -r
complete -c thongke -n "__fish_thongke_using_subcommand manual" -l admin-listen -d 'Where you reach it: metrics, health, import and export; keep it off the internet [default: 127.0.0.1:8081] [env: THONGKE_ADMIN_LISTEN]' -r
complete -c thongke -n "__fish_thongke_using_subcommand manual" -l data-dir -d 'The folder that holds the counts [default: ./data] [env: THONGKE_DATA_DIR]' -r -F
complete -c thongke -n "__fish_thongke_using_subcommand manual" -l redis -d 'A Redis server that several nodes share, for example redis://10.0.0.5:6379; repeat it for further cluster seeds or sentinels [env: THONGKE_REDIS, separated by commas]' -r
complete -c thongke -n "__fish_thongke_using_subcommand manual" -l log-format -d 'How log lines are written [default: text] [env: THONGKE_LOG_FORMAT]' -r -f -a "text\t'For people'
json\t'One JSON object a line, for a log collector'"
complete -c thongke -n "__fish_thongke_using_subcommand manual" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c thongke -n "__fish_thongke_using_subcommand help; and not __fish_seen_subcommand_from serve check health backup import export figures sources bots verify forget completions manual help" -f -a "serve" -d 'Count and serve; what `thongke` alone does'
complete -c thongke -n "__fish_thongke_using_subcommand help; and not __fish_seen_subcommand_from serve check health backup import export figures sources bots verify forget completions manual help" -f -a "check" -d 'Check the configuration, and whether what it names can be used; 0: yes, perhaps with warnings, 1: something doesn\'t work, 2: the configuration is wrong'
complete -c thongke -n "__fish_thongke_using_subcommand help; and not __fish_seen_subcommand_from serve check health backup import export figures sources bots verify forget completions manual help" -f -a "health" -d 'Whether a running node counts: exit 0 or 1, for container engines and scripts'
complete -c thongke -n "__fish_thongke_using_subcommand help; and not __fish_seen_subcommand_from serve check health backup import export figures sources bots verify forget completions manual help" -f -a "backup" -d 'Copy the node\'s counts into a new file, while it runs or not; the copy is checked'
complete -c thongke -n "__fish_thongke_using_subcommand help; and not __fish_seen_subcommand_from serve check health backup import export figures sources bots verify forget completions manual help" -f -a "import" -d 'Take over old counts from a CSV file (`period,hits` or `period,page,hits`)'
complete -c thongke -n "__fish_thongke_using_subcommand help; and not __fish_seen_subcommand_from serve check health backup import export figures sources bots verify forget completions manual help" -f -a "export" -d 'Write all counts of a site as CSV'
complete -c thongke -n "__fish_thongke_using_subcommand help; and not __fish_seen_subcommand_from serve check health backup import export figures sources bots verify forget completions manual help" -f -a "figures" -d 'Show a site\'s figures as its pages show them'
complete -c thongke -n "__fish_thongke_using_subcommand help; and not __fish_seen_subcommand_from serve check health backup import export figures sources bots verify forget completions manual help" -f -a "sources" -d 'Show who contributed what to a site\'s counts'
complete -c thongke -n "__fish_thongke_using_subcommand help; and not __fish_seen_subcommand_from serve check health backup import export figures sources bots verify forget completions manual help" -f -a "bots" -d 'Show how many hits of a site were not counted, by day and kind: bots, prefetches, repeats'
complete -c thongke -n "__fish_thongke_using_subcommand help; and not __fish_seen_subcommand_from serve check health backup import export figures sources bots verify forget completions manual help" -f -a "verify" -d 'Compare what the node\'s file, Redis and the other nodes there know of sites; 0: all agrees, 1: something differs'
complete -c thongke -n "__fish_thongke_using_subcommand help; and not __fish_seen_subcommand_from serve check health backup import export figures sources bots verify forget completions manual help" -f -a "forget" -d 'Undo an import'
complete -c thongke -n "__fish_thongke_using_subcommand help; and not __fish_seen_subcommand_from serve check health backup import export figures sources bots verify forget completions manual help" -f -a "completions" -d 'Write what a shell needs to complete this command line'
complete -c thongke -n "__fish_thongke_using_subcommand help; and not __fish_seen_subcommand_from serve check health backup import export figures sources bots verify forget completions manual help" -f -a "manual" -d 'Write the manual pages into a folder'
complete -c thongke -n "__fish_thongke_using_subcommand help; and not __fish_seen_subcommand_from serve check health backup import export figures sources bots verify forget completions manual help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
