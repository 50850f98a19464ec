"""Short word lists of our own: surnames, given names, places.

They are facts, written down for this purpose: surnames that the name reports of the Ministry of Public Security
(2019 to 2021) and the US Census (2010) list as frequent, given names frequent in the lists of the US Social Security
Administration, provinces and prefectures of GB/T 2260.
"""

from __future__ import annotations


def words(text: str) -> list[str]:
    """The words of a text, set apart by spaces."""
    return text.split()


#: Frequent Chinese surnames of one character that are seldom anything else in a sentence.
SURNAMES = frozenset(
    "王李张刘陈杨赵黄周吴徐孙朱胡郭何罗梁宋郑谢韩唐冯邓曹彭曾萧肖田董袁潘蔡蒋余杜叶程魏苏吕丁沈任姚卢傅钟姜崔谭廖范"
    "汪陆金石戴贾韦夏邱侯邹熊"
    "孟秦薛闫阎雷段郝孔邵毛龚尹黎贺顾赖武康龙洪严施倪葛殷邢俞聂齐庞章鲁岳翟詹申耿焦柳伍霍喻柯涂欧裴莫祁阮芦樊辛管卓"
    "瞿褚骆臧戚冉蓝冼岑"
    "钱汤尤祝左舒项宫梅盛童卜鲍凌游蒲饶纪甄屈覃滕靳蔚宁丘娄晏隋谷苗芮邬虞"
)
#: Surnames that are everyday words as well (高, 方, 常): they need more evidence.
AMBIGUOUS_SURNAMES = frozenset(
    "高林马于白史江万方安温文季常成牛车向关路米包单应祖时古连权牟和平易乔包解明查水元车曲路简桂巩沙官闻计甘巫"
)
COMPOUND_SURNAMES = words(
    "欧阳 司马 上官 诸葛 夏侯 皇甫 尉迟 公孙 慕容 令狐 司徒 司空 轩辕 东方 宇文 长孙 端木 独孤 南宫 西门 呼延 申屠 "
    "太史 澹台 闻人 钟离 赫连 拓跋 "
    "完颜 纳兰 百里 淳于 单于 公羊 濮阳"
)

#: Characters frequent in Chinese given names.
GIVEN_SIGNS = frozenset(
    "伟芳娜敏静丽强磊军洋勇艳杰娟涛明超秀霞平刚桂英华玉兰红梅建国文志海云春荣贵福生金龙永祥林波辉斌宇浩轩子涵梓萱欣"
    "怡诗雨婷雪佳嘉俊峰晨晓小"
    "东南北阳光亮鹏飞翔凯旋博毅恒诚信义礼智仁德忠孝清洁莹莲玲珍珠琴瑶瑾瑜璐琳琪琦颖慧惠美凤燕莉萍蓉菊芬芝蕾薇香彩素"
    "淑贞雅倩婉妍娇媛媚娴婧"
    "妮姗嫣然思梦心语若冰寒秋夏冬月星辰昊天乐康宁安泰和顺利达胜景立世良先民大少中正成广新振兴富启庆家学守维克继绍承"
    "宗祖延寿松柏森木树楠"
    "桐桂锋钢铁铭鑫锦钧锐铮剑炎焱炜烨煜灿煌熙照阳昕昭旭晖映晗晴暄曦昱昆昌晟鸿鹤鸣骏驰腾骁虎彪豹雷震霆霖泽润江河湖涌"
    "泉沛淇清澄澜浩瀚源深渊"
    "洪济涵洁沁溪滢潇岩岭岚峻嵩崇山川石磐宏宽宪宸宜容寅实定宝官尚崧巍左右元凡仕任传伦俭修健伯仲叔季佑佩佳依俐保信倩"
    "偲儒兆克全公兵其典军"
    "冠凌刚创力功加励劲劼勤化千升卓占卫原厚友双发叶名向吉君启周呈品哲唐善喜嘉园圣坤培基堂增士壮夫奇奕妙姝存孟季宁宣"
    "容尧巧帆帅常干开弘强彤彦"
    "影征律微必念忆怀怡恩悦悠情惟惠愉意慕懿戈成才扬拓振捷攀政敏敬斐斯方旋日易智朋朗望本权果枫栋根格桃梁棋森楚榕榜樱"
    "权欢歌武殿毓水沐法波泓洲"
    "津津浦淳淼渝湘源滨滔漫灵炳焕然照爽特环现珂珊珏珺琛琨琰琼瑗瑞璇璟甜用申男画畅百益盛盼真睿石研硕碧社祎祝禄福禹秉"
    "科程稷竹笑笛筠策箫米"
    "粲素红纪纯纲练绪绮维绣群羽翠翰耀育胤胜致航良艺艾芊芮花芸苑苒苓苗茂茜茵茹荃荷莎莘菁菡菲萌葵蓓蓝蔚蕊虹蝶裕西言训"
    "诺谊谦谨豪贝贤赛赞赫"
    "超越跃路轶迎迪远连迅逸道遥邦郁采野钊钰铎银锡键镇长闯阔陶随隆雁雄雯震青靖韬韵音顺颂颜风飒馨驹高魁麒黛齐添玮孜奥"
    "宛艾迈丹亚亦京人仁"
    "来理佐俪倬倾傲元岚荣棣钰恪祺斓萤恺喆颂伯乔巍谷铠煦屹沣淏芷苡芙茉沫漪澍渲琬珮玥瑄瑛珩琮璐妤妘姝娉婳嫦"
)

#: The frequent characters of given names that seldom stand side by side in other words: weight in `names`.
CORE_GIVEN_SIGNS = frozenset(
    "伟芳娜敏静丽磊军勇艳杰娟涛超秀霞刚英玉兰梅志荣贵祥辉斌宇浩轩梓萱欣怡诗婷雪佳嘉俊峰晨鹏翔凯博毅莹莲玲珍琴瑶瑾瑜"
    "璐琳琪琦颖慧惠凤燕莉萍蓉"
    "菊芬芝蕾薇淑贞雅倩婉妍娇媛娴婧妮姗嫣昊泽铭鑫锦钧锐炜烨煜熙昕旭晖晗曦昱晟鸿骏霖沛淇岚峻宏宸彤彦瑞睿翰耀菲萌雯靖"
    "馨丹建国强晓明华红文云春永"
    "林波海龙生子涵平洋桂福金"
)

#: Everyday words that begin with what may be a surname; a name that begins with one of them is left alone.
NO_NAMES = frozenset(
    words(
        "韩国 黄金 高兴 安静 王国 金融 和平 东方 水平 关系 管理 范围 欧洲 江南 马上 常常 成功 白天 时间 方便 安全 "
        "白色 黄色 金色 高级 高度 高中 高速 高考 高端 高大 成立 成为 成本 成绩 成长 成都 "
        "方面 方法 方向 方式 程度 程序 解决 解释 解放 计划 计算 任务 任何 任意 万一 应该 应用 应当 单位 单独 单纯 时候 "
        "时代 时尚 时刻 连续 连接 连忙 路上 路边 路线 关于 关注 关键 关心 包括 包装 包含 米饭 "
        "牛奶 牛肉 车站 车子 车辆 向来 平时 平安 平静 平均 平常 明显 明白 明天 明年 明明 明星 水果 水晶 元素 许多 许可 "
        "常用 常见 常识 季节 季度 文化 文字 文明 文学 文章 温度 温柔 温泉 温馨 于是 史上 林业 "
        "石头 石油 钟头 钟表 钱包 钱币 余额 余地 戴上 梁山 江山 江湖 江苏 江西 河南 宁波 宁夏 宁可 康复 康健 严重 严格 "
        "严肃 施工 施行 顾客 顾问 武器 武汉 武警 武术 毛病 毛巾 龙头 洪水 雷达 雷声 夏天 "
        "夏季 秦皇 章节 章程 熊猫 谷歌 苏州 苏联 苏宁 徐州 郑州 郑重 沈阳 吴江 广州 海南 黄山 黄河 黄海 黄昏 朱红 胡子 "
        "胡说 高铁 沙发 沙漠 古代 古典 权利 权力 乐趣 乐观 乐园 封面 钟爱 曾经 曾是 谢谢 谢绝 "
        "何况 何必 何时 罗马 罗列 舒服 舒适 祝福 祝贺 祝愿 纪念 纪录 纪律 项目 项链 梅花 盛大 盛行 童话 童年 童装 左右 "
        "左边 左手 汤圆 贺信 贺新 柳州 凌晨 金属 金额 金牌 金虫 路由 强大 强烈 强调 花园 鲁迅文 "
        "简单 简直 简介 简洁 司机 司法 相信 相关 支持 支付 习惯 学习 来自 来源 全部 全国 全面 通过 通知 通常 晓得 尤其 "
        "欧元 欧盟 苗条 华为 华东 华南 华北 乔丹 索尼 易于 易用 党员 党委 党政 党中 国家 官方 官网 "
        "冷静 冷水 齐全 阳光 安装 安排 安慰 安心 安徽 常州 东北 东南 东西 南京 南方 南北 车主 车票 戚友 喻为 莫名 莫过 "
        "莫非 马桶 马路 马虎 马达 卜告 宫殿 庞大 柯达 欧美 欧式 成熟 成员 成果 成交 成分 成品 龙泉 宋体 宋代 "
        "唐代 唐朝 明代 明确 汪洋 蒲公 孔子 孔夫 孟子 老子 孙子 叶子 叶片 鲍鱼 管家 管道 管辖 杜绝 丁点 陈旧 陈列 "
        "陈述 陆续 陆地 姚明 潘婷 钟情 庄园 庄严 康师 康佳 石家 石材 雷同 雷锋 邵阳 邢台 贾宝 安卓 祖国 祖先 应急 应聘"
    )
)

#: Provinces, regions and municipalities of the mainland, and the two special regions: GB/T 2260.
PROVINCES = words(
    "北京 天津 河北 山西 内蒙古 辽宁 吉林 黑龙江 上海 江苏 浙江 安徽 福建 江西 山东 河南 湖北 湖南 广东 广西 海南 "
    "重庆 四川 贵州 云南 西藏 陕西 甘肃 青海 "
    "宁夏 新疆 台湾 香港 澳门"
)
#: Prefectures of GB/T 2260, without 市, 地区, 盟 and 自治州, and some cities of county level and of Taiwan.
CITIES = words(
    "石家庄 唐山 秦皇岛 邯郸 邢台 保定 张家口 承德 沧州 廊坊 衡水 太原 大同 阳泉 长治 晋城 朔州 晋中 运城 忻州 "
    "临汾 吕梁 呼和浩特 包头 乌海 赤峰 通辽 "
    "鄂尔多斯 呼伦贝尔 巴彦淖尔 乌兰察布 沈阳 大连 鞍山 抚顺 本溪 丹东 锦州 营口 阜新 辽阳 盘锦 铁岭 朝阳 葫芦岛 "
    "长春 四平 辽源 通化 白山 松原 白城 延边 "
    "哈尔滨 齐齐哈尔 鸡西 鹤岗 双鸭山 大庆 伊春 佳木斯 七台河 牡丹江 黑河 绥化 南京 无锡 徐州 常州 苏州 南通 "
    "连云港 淮安 盐城 扬州 镇江 泰州 宿迁 杭州 "
    "宁波 温州 嘉兴 湖州 绍兴 金华 衢州 舟山 台州 丽水 合肥 芜湖 蚌埠 淮南 马鞍山 淮北 铜陵 安庆 黄山 滁州 阜阳 "
    "宿州 六安 亳州 池州 宣城 福州 厦门 莆田 "
    "三明 泉州 漳州 南平 龙岩 宁德 南昌 景德镇 萍乡 九江 新余 鹰潭 赣州 吉安 宜春 抚州 上饶 济南 青岛 淄博 枣庄 "
    "东营 烟台 潍坊 济宁 泰安 威海 日照 临沂 "
    "德州 聊城 滨州 菏泽 郑州 开封 洛阳 平顶山 安阳 鹤壁 新乡 焦作 濮阳 许昌 漯河 三门峡 南阳 商丘 信阳 周口 "
    "驻马店 武汉 黄石 十堰 宜昌 襄阳 鄂州 荆门 "
    "孝感 荆州 黄冈 咸宁 随州 恩施 长沙 株洲 湘潭 衡阳 邵阳 岳阳 常德 张家界 益阳 郴州 永州 怀化 娄底 湘西 广州 "
    "韶关 深圳 珠海 汕头 佛山 江门 湛江 茂名 "
    "肇庆 惠州 梅州 汕尾 河源 阳江 清远 东莞 中山 潮州 揭阳 云浮 南宁 柳州 桂林 梧州 北海 防城港 钦州 贵港 玉林 "
    "百色 贺州 河池 来宾 崇左 海口 三亚 三沙 "
    "儋州 成都 自贡 攀枝花 泸州 德阳 绵阳 广元 遂宁 内江 乐山 南充 眉山 宜宾 广安 达州 雅安 巴中 资阳 贵阳 六盘水 "
    "遵义 安顺 毕节 铜仁 昆明 曲靖 玉溪 "
    "保山 昭通 丽江 普洱 临沧 大理 拉萨 日喀则 昌都 林芝 山南 那曲 西安 铜川 宝鸡 咸阳 渭南 延安 汉中 榆林 安康 "
    "商洛 兰州 嘉峪关 金昌 白银 天水 武威 张掖 "
    "平凉 酒泉 庆阳 定西 陇南 西宁 海东 银川 石嘴山 吴忠 固原 中卫 乌鲁木齐 克拉玛依 吐鲁番 哈密 昆山 义乌 江阴 "
    "常熟 张家港 晋江 石狮 台北 新北 高雄 台中 "
    "台南 新竹 桃园 嘉义 基隆 花莲"
)

#: Frequent English given names, both sexes and several generations.
GIVEN_NAMES = frozenset(
    words(
        "aaron abigail adam adrian aidan alan albert alejandro alex alexander alexandra alexis alfred alice alicia "
        "alison allison amanda amber "
        "amelia amy ana andrea andrew angela anita ann anna anne annie anthony antonio april arthur ashley audrey "
        "austin ava barbara beatrice "
        "becky ben benjamin bernard beth betty beverly bill billy blake bob bobby bonnie brad bradley brandon brenda "
        "brian bruce bryan caleb "
        "cameron carl carla carlos carmen carol caroline carolyn carrie catherine cathy charles charlie charlotte "
        "cheryl chloe chris christian "
        "christina christine christopher cindy claire clara claudia colin connor craig crystal curtis cynthia daisy "
        "dan daniel danielle danny "
        "darren dave david dawn dean deborah debra denise dennis derek diana diane diego dominic don donald donna "
        "doris dorothy doug douglas "
        "duncan dylan earl eddie edgar edith edward edwin eileen elaine eleanor elena eli elijah elizabeth ella ellen "
        "elliot emily emma eric "
        "erica erik erin ernest esther ethan eugene eva evan evelyn felix fiona florence frances francis frank fred "
        "freddie frederick gabriel "
        "gail gareth gary gavin geoffrey george gerald gina gloria gordon grace graham greg gregory hannah harold "
        "harriet harry harvey hazel "
        "heather hector helen henry holly howard hugh ian irene isaac isabel isabella isla ivan jack jackie jackson "
        "jacob jacqueline jake james "
        "jamie jan jane janet janice jared jasmine jason javier jay jean jeff jeffrey jen jennifer jenny jeremy jerome "
        "jerry jesse jessica jill "
        "jim jimmy joan joann joanna joanne joe joel john johnny jon jonathan jordan jorge jose joseph josh joshua "
        "joyce juan juanita judith "
        "judy julia julian julie justin karen karl kate katherine kathleen kathryn kathy katie kayla keith kelly ken "
        "kenneth kevin kim kimberly "
        "kristen kurt kyle larry laura lauren laurie lawrence leah lee leo leon leonard leslie lewis liam lillian lily "
        "linda lisa logan lois "
        "lorraine louis louise lucas lucy luis luke lydia lynn madison malcolm marco marcus margaret maria marie "
        "marilyn mario marion marjorie "
        "martha martin marvin mary mason matt matthew maureen max maya megan melanie melissa mia michael michele "
        "michelle miguel mike mildred "
        "mohamed mohammed molly monica morgan muhammad nancy naomi natalie natasha nathan neil nicholas nick nicole "
        "nigel nina noah nora norma "
        "norman olga oliver olivia omar oscar owen pamela patricia patrick paul paula pauline pedro peggy penelope "
        "peter phil philip phillip "
        "phoebe phyllis priya rachel ralph ramon raymond rebecca regina reginald ricardo richard rick ricky rita rob "
        "robert roberto robin "
        "rodney roger ron ronald rosa rose rosemary ross roy ruby russell ruth ryan sally sam samantha samuel sandra "
        "sara sarah scott sean "
        "sebastian seth shane shannon sharon shaun shawn sheila shirley sidney simon sofia sonia sophia sophie stacey "
        "stacy stanley stella "
        "stephanie stephen steve steven stewart stuart sue susan suzanne sylvia tamara tania tanya tara ted teresa "
        "terence terry thelma "
        "theodore theresa thomas tiffany tim timothy tina todd tom tommy toni tony tracey tracy travis trevor tristan "
        "tyler valerie vanessa "
        "vera vernon veronica vicki victor victoria vincent virginia vivian walter wanda warren wayne wendy wesley "
        "william willie wyatt xavier "
        "yolanda yvonne zachary zoe ahmed aisha ali fatima hassan ibrahim amit anil arjun deepak kavita neha rahul raj "
        "rajesh ravi sanjay sunil "
        "vijay hiroshi kenji yuki bjorn elsa hans heinrich ingrid jurgen klaus pierre jacques giovanni giulia luca "
        "lorenzo paolo"
    )
)
#: Given names that are everyday English words or places as well: alone, or before another such word, they say little.
AMBIGUOUS_GIVEN_NAMES = frozenset(
    words(
        "amber april austin ava bill bob carol chase christian crystal daisy dawn dean don earl faith frank grace "
        "grant gene hazel holly hope ivy "
        "jack jackson jasmine jay jean jordan joy june kim lee lily logan madison mark mason max may melody morgan "
        "nick olive pat penny ray "
        "regina robin rob rose ross ruby sally sandy sky sue summer ted todd tony victor victoria virginia will art "
        "guy rich drew mercy "
        "paris charlotte florence sydney lincoln"
    )
)
FREQUENT_SURNAMES = frozenset(
    words(
        "smith johnson williams brown jones garcia miller davis rodriguez martinez hernandez lopez gonzalez wilson "
        "anderson thomas taylor moore "
        "jackson martin lee perez thompson white harris sanchez clark ramirez lewis robinson walker young allen king "
        "wright scott torres nguyen "
        "hill flores green adams nelson baker hall rivera campbell mitchell carter roberts gomez phillips evans turner "
        "diaz parker cruz edwards "
        "collins reyes stewart morris morales murphy cook rogers gutierrez ortiz morgan cooper peterson bailey reed "
        "kelly howard ramos kim cox "
        "ward richardson watson brooks chavez wood james bennett gray mendoza ruiz hughes price alvarez castillo "
        "sanders patel myers long ross "
        "foster jimenez powell jenkins perry russell sullivan bell coleman butler henderson barnes fisher vasquez "
        "simmons jordan patterson "
        "hamilton graham reynolds griffin wallace west cole hayes chen bryant murray ford marshall owens mcdonald "
        "harrison khan singh kumar "
        "sharma gupta ali ahmed hussain o'brien o'connor walsh ryan byrne fitzgerald mueller schmidt schneider fischer "
        "weber rossi russo ferrari "
        "dubois laurent moreau ivanov petrov novak kowalski andersson johansson hansen larsen tanaka suzuki sato "
        "yamamoto nakamura"
    )
)
#: Chinese surnames in letters (Hanyu Pinyin, and the common spellings of Hong Kong and Taiwan).
PINYIN_SURNAMES = frozenset(
    words(
        "wang li zhang liu chen yang zhao huang zhou wu xu sun zhu hu guo he lin luo gao liang song zheng xie han "
        "tang feng deng cao peng zeng xiao "
        "tian dong yuan pan cai jiang yu du ye cheng wei su lu ding shen ren yao zhong cui tan liao fan wong chan "
        "cheung lau leung kwok ng tsai hsu "
        "hsieh chang ho lam yeung tse kwan ouyang sima zhuge"
    )
)
