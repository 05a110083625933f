# SPDX-License-Identifier: MIT
# deepseek_add_model(<name> CONFIG <config.json>): the type of a model from the file that describes it.
#
#     deepseek_add_model(moonlight CONFIG Moonlight-16B-A3B/config.json)
#     target_link_libraries(app PRIVATE deepseek::models::moonlight)
#
# A program that links that target has `#include <deepseek/models/moonlight.hpp>`, which defines the type
# `deepseek::models::moonlight`. The file is Hugging Face's for DeepSeek-V2, V3 and Kimi K2, one that this library wrote, or
# one of DeepSeek's own inference code (keys dim, n_layers, …). Nothing but CMake runs; the header is written anew when the
# file changes. A file that no type can express is one error with every reason. What keys mean, and what they are where
# the file says nothing, is as in deepseek/format/config.hpp.
include_guard(GLOBAL)

function(deepseek_add_model name)
    cmake_parse_arguments(PARSE_ARGV 1 arg "" "CONFIG" "")
    if(NOT name MATCHES "^[A-Za-z][A-Za-z0-9_]*$")
        message(FATAL_ERROR "deepseek_add_model: '${name}' cannot be the name of a C++ type")
    endif()
    if(NOT arg_CONFIG OR arg_UNPARSED_ARGUMENTS)
        message(FATAL_ERROR "deepseek_add_model: expected deepseek_add_model(<name> CONFIG <config.json>)")
    endif()
    cmake_path(ABSOLUTE_PATH arg_CONFIG BASE_DIRECTORY "${CMAKE_CURRENT_SOURCE_DIR}" NORMALIZE)
    deepseek_model_header(${name} "${arg_CONFIG}" header)

    set(folder "${CMAKE_CURRENT_BINARY_DIR}/deepseek_models")
    file(CONFIGURE OUTPUT "${folder}/deepseek/models/${name}.hpp" CONTENT "@header@" @ONLY)
    set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS "${arg_CONFIG}")
    add_library(deepseek_model_${name} INTERFACE)
    add_library(deepseek::models::${name} ALIAS deepseek_model_${name})
    target_include_directories(deepseek_model_${name} INTERFACE "${folder}")
    target_link_libraries(deepseek_model_${name} INTERFACE deepseek::deepseek)
endfunction()

# deepseek_model_header(<name> <config.json> <variable>): the text of the header. Runs in scripts, too.
function(deepseek_model_header name path variable)
    if(NOT EXISTS "${path}" OR IS_DIRECTORY "${path}")
        message(FATAL_ERROR "deepseek_add_model(${name}): ${path}: no such file")
    endif()
    file(READ "${path}" text)
    string(JSON type ERROR_VARIABLE error TYPE "${text}")
    if(error)
        message(FATAL_ERROR "deepseek_add_model(${name}): ${path}: not valid JSON: ${error}")
    elseif(NOT type STREQUAL "OBJECT")
        message(FATAL_ERROR "deepseek_add_model(${name}): ${path}: expected a JSON object, found ${type}")
    endif()
    set(json "${text}")
    string(JSON hidden_size ERROR_VARIABLE none GET "${json}" hidden_size)
    string(JSON dim ERROR_VARIABLE none GET "${json}" dim)
    if(hidden_size MATCHES "NOTFOUND" AND NOT dim MATCHES "NOTFOUND")
        deepseek_model_from_native(json)
    endif()
    set(problems "")
    deepseek_model_read_config()
    if(NOT problems)
        deepseek_model_check()
    endif()
    if(problems)
        message(FATAL_ERROR "deepseek_add_model(${name}): ${path}: no type of a model can express this:${problems}")
    endif()
    deepseek_model_write()
    set(${variable} "${header}" PARENT_SCOPE)
endfunction()

# The configuration of DeepSeek's inference code in Hugging Face's keys. It has one way to stretch the context, scores groups
# by one expert where it has no bias, and has a bias at V3's width alone.
function(deepseek_model_from_native variable)
    set(native "${${variable}}")
    set(json [[{"model_type": "deepseek_v2", "n_group": 1, "topk_group": 1, "num_nextn_predict_layers": 0,
        "scoring_func": "softmax", "topk_method": "greedy", "max_position_embeddings": 16384, "rope_scaling": {"type": "yarn",
        "factor": 40, "original_max_position_embeddings": 4096, "mscale": 1.0, "mscale_all_dim": 1.0}}]])
    foreach(pair IN ITEMS vocab_size=vocab_size dim=hidden_size inter_dim=intermediate_size
            moe_inter_dim=moe_intermediate_size n_layers=num_hidden_layers n_dense_layers=first_k_dense_replace
            n_heads=num_attention_heads n_routed_experts=n_routed_experts n_shared_experts=n_shared_experts
            n_activated_experts=num_experts_per_tok n_expert_groups=n_group n_limited_groups=topk_group
            route_scale=routed_scaling_factor q_lora_rank=q_lora_rank kv_lora_rank=kv_lora_rank
            qk_nope_head_dim=qk_nope_head_dim qk_rope_head_dim=qk_rope_head_dim v_head_dim=v_head_dim
            rope_theta=rope_theta max_seq_len=max_position_embeddings)
        string(REPLACE "=" ";" pair "${pair}")
        list(GET pair 0 from)
        list(GET pair 1 to)
        string(JSON value ERROR_VARIABLE error GET "${native}" ${from})
        if(NOT error)
            string(JSON json ERROR_VARIABLE error SET "${json}" ${to} "${value}")
        endif()
    endforeach()
    string(JSON mscale ERROR_VARIABLE error GET "${native}" mscale)
    if(NOT error)
        foreach(key IN ITEMS mscale mscale_all_dim)
            string(JSON json SET "${json}" rope_scaling ${key} "${mscale}")
        endforeach()
    endif()
    string(JSON score ERROR_VARIABLE error GET "${native}" score_func)
    string(JSON groups GET "${json}" n_group)
    string(JSON width GET "${json}" hidden_size)
    if(score STREQUAL "sigmoid")
        string(JSON json SET "${json}" model_type "\"deepseek_v3\"")
        string(JSON json SET "${json}" scoring_func "\"sigmoid\"")
    endif()
    if(width EQUAL 7168)
        string(JSON json SET "${json}" topk_method "\"noaux_tc\"")
    elseif(groups GREATER 1)
        string(JSON json SET "${json}" topk_method "\"group_limited_greedy\"")
    endif()
    set(${variable} "${json}" PARENT_SCOPE)
endfunction()

# The macros below work on the variables of deepseek_model_header: `json`, `text` (the file), `problems`, and one variable
# per key, with its value as C++ writes it.

macro(deepseek_model_complain key sentence)
    string(APPEND problems "\n  ${key}: ${sentence}")
endmacro()

# deepseek_model_value(<kind> <where absent> <where null> <key>...): sets the variable named as the last key. '-' as one of the
# values: not allowed. CMake prints the number 0.1 as 0.10000000000000001, so digits that mean the same are looked for in the
# file.
function(deepseek_model_value kind absent null)
    set(path ${ARGN})
    list(GET path -1 key)
    list(JOIN path "." shown)
    string(JSON type ERROR_VARIABLE missing TYPE "${json}" ${path})
    if(missing)
        set(value "${absent}")
        if(absent STREQUAL "-")
            deepseek_model_complain("${shown}" "missing")
        endif()
    else()
        string(JSON value GET "${json}" ${path})
        set(expected "")
        if(type STREQUAL "NULL" AND NOT null STREQUAL "-")
            set(value "${null}")
        elseif(kind STREQUAL "integer")
            if(NOT type STREQUAL "NUMBER" OR NOT value MATCHES "^[0-9]+$" OR value GREATER 1000000000000)
                set(expected "a non-negative integer")
            endif()
        elseif(kind STREQUAL "number")
            if(NOT type STREQUAL "NUMBER")
                set(expected "a number")
            endif()
            string(REGEX MATCHALL "[0-9][-+.0-9eE]*" numbers "${text}")
            foreach(digits IN LISTS numbers)
                string(JSON again ERROR_VARIABLE error GET "[${digits}]" 0)
                if(again STREQUAL value)
                    set(value "${digits}")
                    break()
                endif()
            endforeach()
        elseif(kind STREQUAL "flag")
            if(NOT type STREQUAL "BOOLEAN")
                set(expected "true or false")
            elseif(value)
                set(value true)
            else()
                set(value false)
            endif()
        elseif(NOT type STREQUAL "STRING")
            set(expected "a string")
        endif()
        if(expected)
            if(type STREQUAL "NULL")
                set(value "null")
            endif()
            deepseek_model_complain("${shown}" "expected ${expected}, found ${value}")
        endif()
    endif()
    set(${key} "${value}" PARENT_SCOPE)
    set(problems "${problems}" PARENT_SCOPE)
endfunction()

macro(deepseek_model_read_config)
    deepseek_model_value(text - - model_type)
    if(model_type STREQUAL "kimi_k2")
        string(JSON architectures ERROR_VARIABLE error GET "${json}" architectures)
        string(REGEX REPLACE "[ \t\r\n]" "" architectures "${architectures}")
        set(model_type "deepseek_v3")
        if(NOT architectures STREQUAL "[\"DeepseekV3ForCausalLM\"]")
            deepseek_model_complain(architectures "a file of model_type kimi_k2 must have [\"DeepseekV3ForCausalLM\"]")
        endif()
    elseif(NOT problems AND NOT model_type MATCHES "^deepseek_(v2|v3|extended)$")
        deepseek_model_complain(model_type
            "expected deepseek_v3, deepseek_v2, kimi_k2 or deepseek_extended, found '${model_type}'")
    endif()
    # Key, kind, value where it is absent in deepseek_v3, in deepseek_v2, and where it is null.
    set(table
        vocab_size                      integer -        -      -
        hidden_size                     integer -        -      -
        num_hidden_layers               integer -        -      -
        num_attention_heads             integer 128      32     -
        num_key_value_heads             integer 0        0      0
        q_lora_rank                     integer 1536     1536   0
        kv_lora_rank                    integer 512      512    -
        qk_nope_head_dim                integer 128      128    -
        qk_rope_head_dim                integer 64       64     -
        v_head_dim                      integer 128      128    -
        attention_bias                  flag    false    false  -
        intermediate_size               integer 18432    11008  -
        hidden_act                      text    silu     silu   -
        mlp_bias                        flag    false    false  -
        first_k_dense_replace           integer 3        0      -
        moe_layer_freq                  integer 1        1      1
        n_routed_experts                integer 256      64     0
        num_experts_per_tok             integer 8        0      0
        moe_intermediate_size           integer 2048     1407   -
        n_shared_experts                integer 1        2      0
        shared_expert_intermediate_size integer 0        0      0
        n_group                         integer 8        1      1
        topk_group                      integer 4        1      1
        topk_method                     text    noaux_tc greedy -
        scoring_func                    text    sigmoid  softmax -
        norm_topk_prob                  flag    true     false  -
        zero_group_mask                 flag    false    false  -
        routed_scaling_factor           number  2.5      1      -
        num_nextn_predict_layers        integer 0        0      0
        rms_norm_eps                    number  1e-6     1e-6   -
        latent_norm_eps                 number  1e-6     1e-6   -
        rope_theta                      number  10000    10000  -
        rope_interleave                 flag    true     true   -
        max_position_embeddings         integer 4096     2048   -
        tie_word_embeddings             flag    false    false  -
        initializer_range               number  0.02     0.02   -)
    while(table)
        list(POP_FRONT table key kind third second null)
        if(model_type STREQUAL "deepseek_v2")
            set(third ${second})
        endif()
        deepseek_model_value(${kind} ${third} ${null} ${key})
    endwhile()

    # rope_scaling beside rope_theta, or rope_parameters with both.
    set(yarn FALSE)
    foreach(block IN ITEMS rope_scaling rope_parameters)
        string(JSON kind ERROR_VARIABLE missing TYPE "${json}" ${block})
        if(missing OR kind STREQUAL "NULL")
            continue()
        endif()
        if(NOT kind STREQUAL "OBJECT")
            deepseek_model_complain(${block} "expected an object or null")
            continue()
        endif()
        deepseek_model_value(number ${rope_theta} - ${block} rope_theta)
        deepseek_model_value(text default - ${block} type)
        deepseek_model_value(text "${type}" - ${block} rope_type)
        if(rope_type STREQUAL "yarn")
            set(yarn TRUE)
            set(table
                factor                           number  -    -
                original_max_position_embeddings integer -    -
                beta_fast                        number  32   -
                beta_slow                        number  1    -
                mscale                           number  0    0
                mscale_all_dim                   number  0    0
                attention_factor                 number  0    0
                truncate                         flag    true -)
            while(table)
                list(POP_FRONT table key kind absent null)
                deepseek_model_value(${kind} ${absent} ${null} ${block} ${key})
            endwhile()
        elseif(NOT rope_type STREQUAL "default")
            deepseek_model_complain(${block} "expected the rope type yarn or default, found '${rope_type}'")
        endif()
    endforeach()
endmacro()

# Adds a sentence to `problems` unless the condition holds.
macro(deepseek_model_require key sentence)
    if(NOT (${ARGN}))
        deepseek_model_complain(${key} "${sentence}, found ${${key}}")
    endif()
endmacro()

macro(deepseek_model_check)
    foreach(key IN ITEMS vocab_size hidden_size num_hidden_layers num_attention_heads kv_lora_rank qk_nope_head_dim
            v_head_dim moe_layer_freq rms_norm_eps latent_norm_eps max_position_embeddings)
        deepseek_model_require(${key} "must be positive" ${key} GREATER 0)
    endforeach()
    foreach(key IN ITEMS kv_lora_rank q_lora_rank)
        deepseek_model_require(${key} "must not exceed hidden_size, ${hidden_size}" NOT ${key} GREATER hidden_size)
    endforeach()
    deepseek_model_require(rope_theta "must be above 1" rope_theta GREATER 1)
    math(EXPR odd "${qk_rope_head_dim} % 2")
    deepseek_model_require(qk_rope_head_dim "must be positive and even" qk_rope_head_dim GREATER 0 AND odd EQUAL 0)
    deepseek_model_require(num_key_value_heads "must equal num_attention_heads, ${num_attention_heads}"
        num_key_value_heads EQUAL 0 OR num_key_value_heads EQUAL num_attention_heads)
    deepseek_model_require(hidden_act "expected silu" hidden_act MATCHES "^silu$")
    deepseek_model_require(mlp_bias "feed-forward networks have no biases" NOT mlp_bias)
    if(yarn)
        foreach(key IN ITEMS factor original_max_position_embeddings beta_fast beta_slow)
            if(NOT ${key} GREATER 0)
                deepseek_model_complain(rope_scaling.${key} "must be positive, found ${${key}}")
            endif()
        endforeach()
    endif()

    # Blocks without experts come first, all others have them.
    set(dense ${num_hidden_layers})
    if(n_routed_experts GREATER 0 AND first_k_dense_replace LESS num_hidden_layers AND moe_layer_freq GREATER 0)
        math(EXPR dense "(${first_k_dense_replace} + ${moe_layer_freq} - 1) / ${moe_layer_freq} * ${moe_layer_freq}")
        if(dense GREATER num_hidden_layers)
            set(dense ${num_hidden_layers})
        endif()
    endif()
    math(EXPR sparse "${num_hidden_layers} - ${dense}")
    deepseek_model_require(moe_layer_freq "blocks with experts must follow each other, so it must be 1"
        moe_layer_freq EQUAL 1 OR sparse LESS 2)
    if(dense GREATER 0)
        deepseek_model_require(intermediate_size "must be positive" intermediate_size GREATER 0)
    endif()
    if(sparse GREATER 0)
        deepseek_model_check_experts()
    endif()
endmacro()

macro(deepseek_model_check_experts)
    foreach(key IN ITEMS moe_intermediate_size num_experts_per_tok)
        deepseek_model_require(${key} "must be positive" ${key} GREATER 0)
    endforeach()
    deepseek_model_require(scoring_func "expected sigmoid or softmax" scoring_func MATCHES "^(sigmoid|softmax)$")
    deepseek_model_require(topk_method "expected noaux_tc, greedy or group_limited_greedy"
        topk_method MATCHES "^(noaux_tc|greedy|group_limited_greedy)$")
    if(model_type STREQUAL "deepseek_v3")
        deepseek_model_require(scoring_func "deepseek_v3 scores by sigmoid" scoring_func MATCHES "^sigmoid$")
    elseif(model_type STREQUAL "deepseek_v2")
        # Its code looks at neither of these.
        set(norm_topk_prob false)
        set(rope_interleave true)
        deepseek_model_require(scoring_func "deepseek_v2 scores by softmax" scoring_func MATCHES "^softmax$")
        deepseek_model_require(topk_method "deepseek_v2 has greedy and group_limited_greedy"
            NOT topk_method MATCHES "^noaux_tc$")
        if(topk_method STREQUAL "greedy")
            set(n_group 1)
            set(topk_group 1)
        endif()
    endif()
    set(remainder 1)
    if(n_group GREATER 0)
        math(EXPR remainder "${n_routed_experts} % ${n_group}")
    endif()
    if(NOT remainder EQUAL 0)
        deepseek_model_complain(n_group "must divide n_routed_experts, ${n_routed_experts}, found ${n_group}")
    elseif(topk_group LESS 1 OR topk_group GREATER n_group)
        deepseek_model_complain(topk_group "must be from 1 to n_group, ${n_group}, found ${topk_group}")
    else()
        math(EXPR group "${n_routed_experts} / ${n_group}")
        math(EXPR allowed "${topk_group} * ${group}")
        deepseek_model_require(num_experts_per_tok
            "must not exceed the ${allowed} experts of the topk_group groups" NOT num_experts_per_tok GREATER allowed)
        deepseek_model_require(n_group "sigmoid routing ranks groups by their two best experts, but a group has one"
            n_group EQUAL 1 OR scoring_func MATCHES "^softmax$" OR group GREATER 1)
    endif()
endmacro()

# Adds `.member = value` to a list of designated initialisers unless it is the member's default.
macro(deepseek_model_member list member value default)
    if(NOT "${value}" STREQUAL "${default}" AND NOT ("${default}" MATCHES "^[0-9]" AND "${value}" EQUAL "${default}"))
        list(APPEND ${list} ".${member} = ${value}")
    endif()
endmacro()

# deepseek_model_braces(<variable> <before> <list>): `before{.a = 1, .b = 2}`, or nothing where the list is empty.
macro(deepseek_model_braces variable before list)
    set(${variable} "")
    if(${list})
        list(JOIN ${list} ", " ${variable})
        set(${variable} "${before}{${${variable}}}")
    endif()
endmacro()

macro(deepseek_model_write)
    set(members "")
    if(yarn)
        deepseek_model_member(members factor ${factor} 1)
        deepseek_model_member(members original_length ${original_max_position_embeddings} 4096)
        deepseek_model_member(members beta_fast ${beta_fast} 32)
        deepseek_model_member(members beta_slow ${beta_slow} 1)
        deepseek_model_member(members mscale ${mscale} 1)
        deepseek_model_member(members mscale_all_dim ${mscale_all_dim} 0)
        deepseek_model_member(members attention_factor ${attention_factor} 0)
        deepseek_model_member(members truncate ${truncate} true)
    endif()
    deepseek_model_braces(stretched ".yarn = " members)
    set(members "")
    deepseek_model_member(members theta ${rope_theta} 10000)
    deepseek_model_member(members interleaved ${rope_interleave} true)
    list(APPEND members ${stretched})
    deepseek_model_braces(rope ".rope = " members)
    set(members ${rope})
    deepseek_model_member(members latent_epsilon ${latent_norm_eps} 1e-6)
    deepseek_model_member(members bias ${attention_bias} false)
    deepseek_model_braces(options ", MLAOptions" members)
    set(attention "MLA<${hidden_size}, ${num_attention_heads}, ${kv_lora_rank}, ${q_lora_rank}, ${qk_rope_head_dim}, \
${qk_nope_head_dim}, ${v_head_dim}${options}>")

    set(parts "Vocabulary<${vocab_size}>")
    if(dense GREATER 0)
        list(APPEND parts "Blocks<${dense}, ${name}_attention, SwiGLU<${intermediate_size}>>")
    endif()
    if(sparse GREATER 0)
        set(members "")
        deepseek_model_member(members scoring Scoring::${scoring_func} Scoring::sigmoid)
        deepseek_model_member(members groups ${n_group} 1)
        deepseek_model_member(members groups_kept ${topk_group} 1)
        deepseek_model_member(members normalize ${norm_topk_prob} true)
        deepseek_model_member(members scale ${routed_scaling_factor} 1)
        if(NOT topk_method STREQUAL "noaux_tc")
            list(APPEND members ".bias = false")
        endif()
        if(n_group GREATER 1)
            deepseek_model_member(members zero_mask ${zero_group_mask} false)
        endif()
        deepseek_model_braces(routing ", Routing" members)
        if(shared_expert_intermediate_size GREATER 0)
            set(shared ${shared_expert_intermediate_size})
        elseif(n_shared_experts GREATER 1)
            set(shared "${n_shared_experts} * ${moe_intermediate_size}")
        else()
            math(EXPR shared "${n_shared_experts} * ${moe_intermediate_size}")
        endif()
        list(APPEND parts "Blocks<${sparse}, ${name}_attention, MoE<${n_routed_experts}, ${num_experts_per_tok}, \
${moe_intermediate_size}, ${shared}${routing}>>")
    endif()
    if(num_nextn_predict_layers GREATER 0)
        list(APPEND parts "MTP<${num_nextn_predict_layers}>")
    endif()
    set(members "")
    deepseek_model_member(members tied_head ${tie_word_embeddings} false)
    deepseek_model_member(members norm_epsilon ${rms_norm_eps} 1e-6)
    deepseek_model_member(members init_deviation ${initializer_range} 0.02)
    deepseek_model_member(members context ${max_position_embeddings} 4096)
    deepseek_model_braces(options "Options<ModelOptions" members)
    if(options)
        list(APPEND parts "${options}>")
    endif()
    list(JOIN parts ",\n    " parts)

    string(TOUPPER "${name}" guard)
    set(header "// What ${path} describes. Written by deepseek_add_model.
#ifndef DEEPSEEK_MODELS_${guard}_HPP
#define DEEPSEEK_MODELS_${guard}_HPP

#include <deepseek/layers/mla.hpp>
#include <deepseek/layers/moe.hpp>
#include <deepseek/layers/mtp.hpp>
#include <deepseek/layers/swiglu.hpp>
#include <deepseek/model/blocks.hpp>
#include <deepseek/model/model.hpp>

namespace deepseek::inline DEEPSEEK_ABI::models {

using ${name}_attention =
    ${attention};

using ${name} = Model<
    ${parts}>;

}  // namespace deepseek::inline DEEPSEEK_ABI::models

#endif
")
endmacro()
